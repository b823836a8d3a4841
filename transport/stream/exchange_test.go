package stream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// pattern makes n bytes that tell where they come from.
func pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewPCG(seed, 9)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

func TestExchange(t *testing.T) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			c, p := connect(t, w.pair, stream.Options{})
			d := newDone()

			version := request(d, tversion, transport.NoTag, []byte("9P2000.L"), nil, 0)
			c.Submit(version)
			if f := p.next(); f.kind != tversion || f.tag != transport.NoTag || string(f.body) != "9P2000.L" {
				t.Fatalf("the server got %+v", f)
			}
			p.reply(rversion, transport.NoTag, []byte("9P2000.L")...)
			if got := <-d; got != version || got.Err != nil || string(got.Reply[7:]) != "9P2000.L" {
				t.Fatalf("Tversion: reply %q, error %v", got.Reply, got.Err)
			}

			out := pattern(1, 1<<20)
			write := writeCall(d, 1, out)
			c.Submit(write)
			if f := p.next(); !bytes.Equal(f.body[4:], out) {
				t.Fatal("the payload of Twrite did not arrive as it was sent")
			}
			p.reply(rwrite, 1, 0, 0, 16, 0)
			if got := <-d; got.Err != nil || len(got.Reply) != 11 {
				t.Fatalf("Twrite: reply %v, error %v", got.Reply, got.Err)
			}

			for _, n := range []int{0, 1, 100, 4096, 70_000, 1 << 20} {
				in := pattern(uint64(n), n)
				c.Submit(readCall(d, 2, 1<<20))
				p.next()
				p.replyPayload(2, in)
				if got := <-d; got.Err != nil || got.N != n || len(got.Reply) != 11 || !bytes.Equal(got.In[:n], in) {
					t.Fatalf("Tread of %d bytes: N %d, head %v, error %v", n, got.N, got.Reply, got.Err)
				}
			}
		})
	}
}

// An error reply is the whole reply, even where a payload was due.
func TestErrorReplyNeverReachesThePayload(t *testing.T) {
	for _, reply := range []frame{
		{rlerror, 3, []byte{5, 0, 0, 0}},
		{rerror, 3, []byte("\x12\x00No such file or dir\x02\x00\x00\x00")},
	} {
		c, p := connect(t, unixPair, stream.Options{})
		d := newDone()
		c.Submit(readCall(d, 3, 4096))
		p.next()
		p.write(reply.bytes())
		got := <-d
		if got.Err != nil || got.N != 0 || !bytes.Equal(got.Reply, reply.bytes()) {
			t.Errorf("type %d: reply %q, N %d, error %v", reply.kind, got.Reply, got.N, got.Err)
		}
		if !bytes.Equal(got.In, make([]byte, 4096)) {
			t.Errorf("type %d: the error is in the payload", reply.kind)
		}
	}
}

func TestRepliesInAnyOrder(t *testing.T) {
	const n = 200
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			c, p := connect(t, w.pair, stream.Options{Slots: n})
			d := newDone()
			for tag := range uint16(n) {
				c.Submit(readCall(d, tag, 8192))
			}
			frames := make([]frame, n)
			for i := range frames {
				frames[i] = p.next()
			}
			rand.Shuffle(n, func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
			for _, f := range frames {
				p.replyPayload(f.tag, pattern(uint64(f.tag), 8192))
				if got := <-d; got.Tag != f.tag || got.Err != nil || !bytes.Equal(got.In, pattern(uint64(f.tag), 8192)) {
					t.Fatalf("tag %d completed with %v when tag %d was answered", got.Tag, got.Err, f.tag)
				}
			}
		})
	}
}

// TestManyCallers has goroutines read and write at once, against a server
// that checks what is written, answers in bursts and in pieces.
func TestManyCallers(t *testing.T) {
	const callers, each = 64, 50
	sizes := []int{0, 1, 100, 4096, 16 << 10, 60_000, 300_000}
	var data [callers][]byte
	for id := range data {
		data[id] = pattern(uint64(id), sizes[len(sizes)-1])
	}
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			c, p := connect(t, w.pair, stream.Options{Slots: 40, Window: 1 << 20})
			go answer(p, data[:])
			var wg sync.WaitGroup
			for id := range uint16(callers) {
				wg.Go(func() {
					d := newDone()
					r := rand.New(rand.NewPCG(uint64(id), 1))
					flow := transport.NewFlow(256 << 10)
					for range each {
						n := sizes[r.IntN(len(sizes))]
						call := readCall(d, id, n)
						if r.IntN(2) == 0 {
							call = writeCall(d, id, data[id][:n])
						}
						call.Flow = flow
						c.Submit(call)
						<-d
						switch {
						case call.Err != nil:
							t.Errorf("tag %d: %v", id, call.Err)
							return
						case call.In != nil && (call.N != n || !bytes.Equal(call.In, data[id][:n])):
							t.Errorf("tag %d: %d of %d bytes, or wrong ones", id, call.N, n)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// answer serves Tread and Twrite: the payload is the beginning of the tag's data.
func answer(p *peer, data [][]byte) {
	var pending []byte
	for {
		f, err := p.read()
		if err != nil {
			return
		}
		n := int(binary.LittleEndian.Uint32(f.body))
		want := data[f.tag][:n]
		switch {
		case f.kind == tread:
			pending = append(pending, frame{rread, f.tag, counted(want)}.bytes()...)
		case bytes.Equal(f.body[4:], want):
			pending = append(pending, frame{rwrite, f.tag, f.body[:4]}.bytes()...)
		default:
			pending = append(pending, frame{rlerror, f.tag, []byte{5, 0, 0, 0}}.bytes()...)
			p.t.Errorf("tag %d: wrong bytes were written", f.tag)
		}
		if p.in.Buffered() > 0 && len(pending) < 100_000 {
			continue
		}
		for len(pending) > 0 {
			k := min(len(pending), 1+rand.IntN(100_000))
			if _, err := p.conn.Write(pending[:k]); err != nil {
				return
			}
			pending = pending[k:]
		}
	}
}

func TestLargePayloadIsPlaced(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	const n = 1 << 20
	for range 10 {
		c.Submit(readCall(d, 1, n))
		p.next()
		go p.replyPayload(1, pattern(1, n))
		if got := <-d; got.N != n {
			t.Fatalf("%d bytes", got.N)
		}
	}
	if got := c.Stats(); got.PayloadCopied != 0 || got.PayloadPlaced != 10*n {
		t.Errorf("%+v: payload was copied", got)
	}
}

func TestSmallRepliesArriveTogether(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	var replies []byte
	for tag := range uint16(10) {
		c.Submit(readCall(d, tag, 1000))
		p.next()
		replies = append(replies, frame{rread, tag, counted(pattern(1, 1000))}.bytes()...)
	}
	p.write(replies)
	for range 10 {
		<-d
	}
	if got := c.Stats(); got.PayloadCopied != 10_000 {
		t.Errorf("%+v: the replies were not read ahead", got)
	}
}

// TLS copies by nature, and the counters say so.
func TestWhatIsCopiedIsCounted(t *testing.T) {
	const n = 1 << 20
	c, p := connect(t, tlsPair, stream.Options{})
	d := newDone()
	c.Submit(readCall(d, 1, n))
	p.next()
	go p.replyPayload(1, pattern(1, n))
	if call := <-d; call.Err != nil || !bytes.Equal(call.In, pattern(1, n)) {
		t.Fatalf("Tread: %v", call.Err)
	}
	if got := c.Stats(); got.PayloadCopied != n || got.PayloadPlaced != 0 {
		t.Errorf("%+v, want all %d copied", got, n)
	}
}

func TestTraits(t *testing.T) {
	for _, w := range wires {
		c, _ := connect(t, w.pair, stream.Options{MaxMsize: 8192, Slots: 3, Window: 4096})
		want := transport.Traits{
			Name: w.name, MaxMsize: 8192, ZeroCopy: w.name != "plain" && w.name != "tls", Threshold: 1024, Slots: 3, Window: 4096,
		}
		if w.name == "tls" { // who made it says so: the network is TCP
			want.Name = "tcp"
		}
		if got := c.Traits(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	c, _ := connect(t, unixPair, stream.Options{Name: "vsock"})
	if got := c.Traits().Name; got != "vsock" {
		t.Errorf("the name is %q", got)
	}
}

func TestTCPOptions(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		client, server := tcpPair(t)
		defer server.Close()
		testTCPOptions(t, client, client)
	})
	t.Run("beneath TLS", func(t *testing.T) {
		client, server := tlsPair(t)
		defer server.Close()
		testTCPOptions(t, client, client.(*mtls.Conn).NetConn())
	})
}

func testTCPOptions(t *testing.T, client, socket net.Conn) {
	c := stream.New(client, stream.Options{})
	raw, err := socket.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct {
		name                string
		level, option, want int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 60_000},
	} {
		err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), o.level, o.option); err != nil || got != o.want {
				t.Errorf("%s is %d (%v), want %d", o.name, got, err, o.want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	<-c.Lost()
}

func TestInvalidCallIsRefused(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	c.SetMsize(8192)
	d := newDone()
	pending := clunkCall(d, 1)
	c.Submit(pending)
	p.next()
	for name, call := range map[string]*transport.Call{
		"no head":              {Tag: 2, Done: d},
		"a tag in use":         clunkCall(d, 1),
		"another tag":          func() *transport.Call { c := clunkCall(d, 3); c.Tag = 2; return c }(),
		"a payload not meant":  func() *transport.Call { c := clunkCall(d, 2); c.Out = []byte("x"); return c }(),
		"more than msize":      writeCall(d, 2, make([]byte, 8192)),
		"no room for the head": func() *transport.Call { c := readCall(d, 2, 1); c.Reply = nil; return c }(),
	} {
		c.Submit(call)
		if got := <-d; got != call || !errors.Is(got.Err, transport.ErrInvalidCall) {
			t.Errorf("%s: %v", name, got.Err)
		}
	}
	p.reply(rclunk, 1)
	if got := <-d; got != pending || got.Err != nil {
		t.Errorf("the call in flight ended with %v", got.Err)
	}
}

// A Completer may use the connection.
func TestCompleterSubmits(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	var left atomic.Int32
	left.Store(100)
	finished := make(chan struct{})
	go func() {
		for f, err := p.read(); err == nil; f, err = p.read() {
			p.reply(rclunk, f.tag)
		}
	}()
	c.Submit(clunkCall(completer(func(call *transport.Call) {
		if left.Add(-1) == 0 {
			c.Close()
			close(finished)
			return
		}
		c.Submit(call)
	}), 1))
	<-finished
	<-c.Lost()
}
