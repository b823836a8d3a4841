package ninep_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// inBothModes runs a test with zero copy and without.
func inBothModes(t *testing.T, test func(*testing.T, ninep.ZeroCopy)) {
	t.Helper()
	t.Run("zero copy", func(t *testing.T) { test(t, ninep.ZeroCopyAuto) })
	t.Run("copying", func(t *testing.T) { test(t, ninep.ZeroCopyOff) })
}

// TestAnswersOutOfTurn: whatever a server does with the answer to a read, the caller has its memory back when the read
// returns, and nobody writes to it after that.
func TestAnswersOutOfTurn(t *testing.T) { inBothModes(t, answersOutOfTurn) }

func answersOutOfTurn(t *testing.T, z ninep.ZeroCopy) {
	const size = 20 << 10
	answer := &ninep.Rread{Data: pattern(size)}
	for name, c := range map[string]struct {
		cancel bool
		serve  func(h *held, tag, flush uint16) // flush: of the Tflush, if the read is cancelled
		again  bool                             // answer once more when the read has returned
		want   int
		lost   bool
	}{
		"late": {true, func(h *held, tag, flush uint16) {
			h.pair.reply(tag, answer)
			h.pair.reply(flush, &ninep.Rflush{})
		}, false, size, false},
		"twice":         {false, func(h *held, tag, _ uint16) { h.pair.reply(tag, answer) }, true, size, true},
		"after a flush": {true, func(h *held, _, flush uint16) { h.pair.reply(flush, &ninep.Rflush{}) }, true, 0, true},
		"never":         {false, func(h *held, _, _ uint16) { h.pair.gate.kill() }, false, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			g.attach.ZeroCopy = z
			s, root := g.open(ninep.Config{ReconnectTimeout: -1})
			f := must(root.Walk(testContext(t)))(t)
			ok(t, f.Create(testContext(t), "f", unix.O_RDWR, 0o600, 0))
			h := g.hold(ninep.TypeTread)
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			buf, n, done := make([]byte, size), 0, make(chan error, 1)
			go func() { var err error; n, err = f.Read(ctx, buf, 0); done <- err }()
			eventually(t, "Tread", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.tags) > 0 })
			tag, flush := h.tags[0], uint16(0)
			if c.cancel {
				cancel()
				tag, flush = h.waitFlush(t)
			}
			c.serve(h, tag, flush)
			err := <-done
			mine := bytes.Repeat([]byte("mine"), size/4)
			read := bytes.Clone(buf)
			copy(buf, mine)
			if c.again {
				h.pair.reply(tag, answer)
			}
			if n != c.want || !bytes.Equal(read[:n], answer.Data[:n]) || n < size && err == nil {
				t.Errorf("read %d bytes, want %d; %v", n, c.want, err)
			}
			if c.lost {
				eventually(t, "the loss", func() bool { st := s.Status(); return !st.Connected || st.Reconnects > 0 })
			}
			ok(t, s.Close())
			if !bytes.Equal(buf, mine) {
				t.Error("the memory was written to after it had come back")
			}
		})
	}
}

// witness is a connection that sees what becomes of payload: which of its bytes lie in the memory that the
// client was lent, from where the socket takes them and to where it brings them, and which anywhere else.
type witness struct {
	transport.Conn
	lent []byte

	mu              sync.Mutex
	done            map[*transport.Call]transport.Completer
	payload, copied int
}

func (w *witness) Submit(c *transport.Call) {
	w.mu.Lock()
	w.done[c] = c.Done
	if ninep.MsgType(c.Head[4]) == ninep.TypeTwrite {
		n := int(binary.LittleEndian.Uint32(c.Head[ninep.WriteHeadSize-4:]))
		w.payload += n
		w.copied += n
		if w.holds(c.Out) {
			w.copied -= len(c.Out)
		}
	}
	w.mu.Unlock()
	c.Done = w
	w.Conn.Submit(c)
}

func (w *witness) Complete(c *transport.Call) {
	w.mu.Lock()
	if kind := ninep.MsgType(c.Reply[4]); kind == ninep.TypeRread || kind == ninep.TypeRreaddir {
		n := int(binary.LittleEndian.Uint32(c.Reply[ninep.HeaderSize:]))
		w.payload += n
		w.copied += n
		if w.holds(c.In) {
			w.copied -= c.N - c.Copied
		}
	}
	done := w.done[c]
	delete(w.done, c)
	w.mu.Unlock()
	done.Complete(c)
}

// holds reports whether all of b is memory that was lent.
func (w *witness) holds(b []byte) bool {
	at, from := uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(unsafe.SliceData(w.lent)))
	return len(b) > 0 && at >= from && at+uintptr(len(b)) <= from+uintptr(len(w.lent))
}

// openUnix opens a session with an exporter on a unix socket, and returns what makes the two ways to one open file, and
// what sees them.
func openUnix(tb testing.TB) (file func(ninep.ZeroCopy, *ninep.Meter) *ninep.Fid, w *witness) {
	tb.Helper()
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	socket := filepath.Join(tb.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	check(err)
	exporter, err := server.New(server.Options{Root: tb.TempDir()})
	check(err)
	served := make(chan error, 1)
	go func() { served <- exporter.Serve(context.Background(), listener) }()
	tb.Cleanup(func() { _ = exporter.Close(); <-served })
	w = &witness{done: map[*transport.Call]transport.Completer{}}
	s, err := ninep.Open(context.Background(), ninep.Config{Dial: func(ctx context.Context) (transport.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, err
		}
		w.Conn = stream.New(conn, stream.Options{})
		return w, nil
	}})
	check(err)
	tb.Cleanup(func() { _ = s.Close() })
	return func(z ninep.ZeroCopy, m *ninep.Meter) *ninep.Fid {
		f, err := s.Attach(context.Background(), ninep.AttachOptions{Aname: "/", ZeroCopy: z, Meter: m})
		check(err)
		check(f.Create(context.Background(), fmt.Sprint("file", z), unix.O_RDWR|unix.O_CREAT, 0o600, ninep.NoUID))
		return f
	}, w
}

// TestCopiesPerByte counts the bytes that are copied in user space for each byte of payload: none with zero copy, from
// where a payload travels apart on, and every one without. Both are volumes of one session.
func TestCopiesPerByte(t *testing.T) {
	open, w := openUnix(t)
	for z, want := range map[ninep.ZeroCopy]int{ninep.ZeroCopyAuto: 0, ninep.ZeroCopyOff: 1} {
		var meter ninep.Meter
		f := open(z, &meter)
		sum := 0
		for _, size := range []int{16 << 10, 64 << 10, 1 << 20, 5 << 20} {
			w.lent = pattern(size)
			for i, transfer := range []func(context.Context, []byte, int64) (int, error){f.Write, f.Read} {
				w.payload, w.copied = 0, 0
				must(transfer(testContext(t), w.lent, 0))(t)
				if w.payload != size || w.copied != want*size {
					t.Errorf("zero copy %v, %s of %d bytes: %d of payload, %d copied", z, [...]string{"write", "read"}[i], size, w.payload, w.copied)
				}
				if !bytes.Equal(w.lent, pattern(size)) {
					t.Errorf("zero copy %v: %d bytes came back changed", z, size)
				}
				clear(w.lent)
			}
			sum += size
		}
		sent, _ := meter.Paths()
		counted := map[ninep.ZeroCopy]ninep.Paths{ninep.ZeroCopyAuto: {Placed: uint64(sum)}, ninep.ZeroCopyOff: {Off: uint64(sum)}}
		if sent != counted[z] {
			t.Errorf("zero copy %v: sent %+v, want %+v", z, sent, counted[z])
		}
	}
}

// TestSplicedRead: a read with a prefix has its payload in a pipe, if one message brings all of it, and else in its memory;
// neither way is a byte of it copied with zero copy.
func TestSplicedRead(t *testing.T) {
	open, w := openUnix(t)
	const size = 512 << 10
	prefix := []byte("head")
	for z, piped := range map[ninep.ZeroCopy]bool{ninep.ZeroCopyAuto: true, ninep.ZeroCopyOff: false} {
		for name, c := range map[string]struct {
			asked, offset, come int
			piped               bool
		}{
			"whole":       {size, 0, size, piped},
			"end of file": {size, size, size / 2, false},
			"in messages": {5 << 20, 0, size + size/2, false},
		} {
			var meter ninep.Meter
			f := open(z, &meter)
			data := pattern(size + size/2)
			must(f.Write(testContext(t), data, 0))(t)
			w.lent = make([]byte, c.asked)
			w.payload, w.copied = 0, 0
			done := make(chan struct{})
			io := &ninep.IO{Buf: w.lent, Offset: int64(c.offset), Prefix: prefix, Done: func(*ninep.IO) { close(done) }}
			f.StartRead(io)
			<-done
			got := w.lent[:io.N]
			if io.Pipe != nil {
				read, _ := io.Pipe.Ends()
				all := make([]byte, len(prefix)+io.N+1)
				n := must(unix.Read(read, all))(t)
				if !bytes.HasPrefix(all, prefix) {
					t.Errorf("zero copy %v, %s: the pipe begins with %q", z, name, all[:len(prefix)])
				}
				got = all[len(prefix):n]
				io.Pipe.Release(true)
			}
			if io.Err != nil || (io.Pipe != nil) != c.piped || !bytes.Equal(got, data[c.offset:c.offset+c.come]) {
				t.Errorf("zero copy %v, %s: %d bytes, pipe %v, error %v", z, name, len(got), io.Pipe, io.Err)
			}
			if _, received := meter.Paths(); c.piped != (received.Spliced == uint64(c.come)) {
				t.Errorf("zero copy %v, %s: %+v", z, name, received)
			}
			if z != ninep.ZeroCopyOff && w.copied != 0 {
				t.Errorf("zero copy %v, %s: %d bytes copied of %d", z, name, w.copied, w.payload)
			}
		}
	}
}

// TestMeter: payload is counted by its path, in both directions, for each volume of a session and directories too.
func TestMeter(t *testing.T) {
	open, _ := openUnix(t)
	for z, want := range map[ninep.ZeroCopy][2]ninep.Paths{
		ninep.ZeroCopyAuto: {{Placed: 64 << 10, Small: 100}, {Placed: 64 << 10, Small: 100}},
		ninep.ZeroCopyOff:  {{Off: 64<<10 + 100}, {Off: 64<<10 + 100}},
	} {
		var meter ninep.Meter
		f := open(z, &meter)
		for _, size := range []int{64 << 10, 100} {
			must(f.Write(testContext(t), make([]byte, size), 0))(t)
			must(f.Read(testContext(t), make([]byte, size), 0))(t)
		}
		if sent, received := meter.Paths(); sent != want[0] || received != want[1] {
			t.Errorf("zero copy %v: sent %+v, received %+v; want %+v", z, sent, received, want)
		}
	}
}

// TestReaddirCopying: a directory reads the same, however it travels.
func TestReaddirCopying(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	want := map[string]bool{}
	for i := range 100 {
		name := fmt.Sprint("name", i)
		must(root.Mkdir(testContext(t), name, 0o700, ninep.NoUID))(t)
		want[name] = true
	}
	var meter ninep.Meter
	dir := must(s.Attach(testContext(t), ninep.AttachOptions{Aname: "/", ZeroCopy: ninep.ZeroCopyOff, Meter: &meter}))(t)
	ok(t, dir.Open(testContext(t), unix.O_RDONLY|unix.O_DIRECTORY))
	total := 0
	for offset, buf := uint64(0), make([]byte, 4096); ; {
		entries := must(dir.Readdir(testContext(t), offset, buf))(t)
		if len(entries) == 0 {
			break
		}
		total += len(entries)
		for len(entries) > 0 {
			var e ninep.Dirent
			var err error
			e, entries, err = ninep.NextDirent(entries)
			ok(t, err)
			delete(want, e.Name)
			offset = e.Offset
		}
	}
	if _, received := meter.Paths(); len(want) != 0 || received != (ninep.Paths{Off: uint64(total)}) {
		t.Errorf("%d names missing; %+v of %d bytes", len(want), received, total)
	}
}

// TestXattrCopying: an attribute's value is payload as well.
func TestXattrCopying(t *testing.T) {
	open, _ := openUnix(t)
	var meter ninep.Meter
	f := open(ninep.ZeroCopyOff, &meter)
	value := pattern(3000)
	ok(t, f.SetXattr(testContext(t), "user.a", value, 0))
	if got := must(f.GetXattr(testContext(t), "user.a"))(t); !bytes.Equal(got, value) {
		t.Errorf("%d bytes came back of %d", len(got), len(value))
	}
	if sent, received := meter.Paths(); sent.Off != 3000 || received.Off != 3000 {
		t.Errorf("sent %+v, received %+v", sent, received)
	}
}

// BenchmarkZeroCopy moves the same bytes over a unix socket with zero copy and without, in turns. gain is how much longer
// it takes without.
func BenchmarkZeroCopy(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, write := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/%dKiB", map[bool]string{false: "read", true: "write"}[write], size>>10), func(b *testing.B) {
				benchmarkModes(b, size, write)
			})
		}
	}
}

func benchmarkModes(b *testing.B, size int, write bool) {
	open, _ := openUnix(b)
	buf := make([]byte, size)
	modes := [2]ninep.ZeroCopy{ninep.ZeroCopyAuto, ninep.ZeroCopyOff}
	var moves [2]func(context.Context, []byte, int64) (int, error)
	for i, z := range modes {
		f := open(z, nil)
		if _, err := f.Write(context.Background(), buf, 0); err != nil {
			b.Fatal(err)
		}
		if moves[i] = f.Read; write {
			moves[i] = f.Write
		}
	}
	var took [2]time.Duration
	b.SetBytes(int64(2 * size))
	b.ReportAllocs()
	for b.Loop() {
		for i, move := range moves {
			start := time.Now()
			if _, err := move(context.Background(), buf, 0); err != nil {
				b.Fatal(err)
			}
			took[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(took[1])/float64(took[0]), "gain")
}
