package ninefs_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/ninefs"
)

// heldWrites are the Twrites that wait between a client and its server once keep is set.
type heldWrites struct {
	keep    atomic.Bool
	waiting chan func() // each sends one on
}

// holdWrites stands between a client and its server and lets Twrite pass when it is told to, and all else at once.
func holdWrites(t testing.TB, s share) (share, *heldWrites) {
	t.Helper()
	held := &heldWrites{waiting: make(chan func(), 64)}
	return between(t, s, func(client, server net.Conn) {
		var answering sync.WaitGroup
		answering.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
		held.carry(server, client)
		_ = server.Close()
		answering.Wait()
	}), held
}

func (h *heldWrites) carry(to io.Writer, from io.Reader) {
	var sending sync.Mutex
	for {
		frame := make([]byte, 4, 4<<10)
		if _, err := io.ReadFull(from, frame); err != nil {
			return
		}
		frame = append(frame, make([]byte, binary.LittleEndian.Uint32(frame)-4)...)
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return
		}
		send := func() {
			sending.Lock()
			defer sending.Unlock()
			_, _ = to.Write(frame) // an end is told from the other side as well
		}
		if h.keep.Load() && ninep.MsgType(frame[4]) == ninep.TypeTwrite {
			h.waiting <- send
			continue
		}
		send()
	}
}

// letGo lets all pass, from now on too.
func (h *heldWrites) letGo() {
	h.keep.Store(false)
	for {
		select {
		case send := <-h.waiting:
			send()
		default:
			return
		}
	}
}

// next returns the next Twrite that comes, or nil when none does.
func (h *heldWrites) next() (send func()) {
	select {
	case send = <-h.waiting:
	case <-time.After(5 * time.Second):
	}
	return send
}

// filled returns aligned memory with one byte in it.
func filled(t testing.TB, n int, with byte) []byte {
	b := aligned(t, n)
	copy(b, bytes.Repeat([]byte{with}, n))
	return b
}

// TestDirectWritesSideBySide: with O_DIRECT two writes of one file are on their way at once, each to its own place.
func TestDirectWritesSideBySide(t *testing.T) {
	for name, mode := range map[string]ninefs.CacheMode{"close-to-open": ninefs.CloseToOpen, "none": ninefs.CacheNone} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			s, held := holdWrites(t, exporter(t))
			m := mount(t, s, func(o *ninefs.Options) { o.Cache = mode })
			fd, err := unix.Open(m.path("f"), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
			check(t, err)
			defer unix.Close(fd)
			check(t, unix.Ftruncate(fd, 16<<10))
			held.keep.Store(true)
			defer held.letGo()
			var writing sync.WaitGroup
			for i := range 4 {
				block := filled(t, 4<<10, byte('a'+i))
				writing.Go(func() {
					if n, err := unix.Pwrite(fd, block, int64(i)*4<<10); n != len(block) || err != nil {
						t.Errorf("write %d: %d bytes: %v", i, n, err)
					}
				})
			}
			var sends []func()
			for range 4 {
				send := held.next()
				if send == nil {
					t.Errorf("%d writes are under way, want 4", len(sends))
					held.letGo()
					break
				}
				sends = append(sends, send)
			}
			for _, send := range sends {
				send()
			}
			writing.Wait()
			want := bytes.Join([][]byte{filled(t, 4<<10, 'a'), filled(t, 4<<10, 'b'), filled(t, 4<<10, 'c'), filled(t, 4<<10, 'd')}, nil)
			wantContent(t, s.root+"/f", string(want))
		})
	}
}

// TestDirectWriteIsSeen: who reads a file through the page cache sees what was written past it once write(2) has returned,
// although the pages came from the server while the write was on its way there.
func TestDirectWriteIsSeen(t *testing.T) {
	noLeak(t)
	s, held := holdWrites(t, exporter(t))
	m := mount(t, s)
	fd, err := unix.Open(m.path("f"), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	check(t, err)
	defer unix.Close(fd)
	if _, err := unix.Pwrite(fd, filled(t, 8<<10, 'o'), 0); err != nil {
		t.Fatal(err)
	}
	// From here on, because the kernel has an open(2) through the page cache wait for writes that are under way side by side.
	reader, err := unix.Open(m.path("f"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(reader)
	held.keep.Store(true)
	defer held.letGo()
	wrote := make(chan error, 1)
	block := filled(t, 4<<10, 'n')
	go func() {
		_, err := unix.Pwrite(fd, block, 4<<10)
		wrote <- err
	}()
	send := held.next()
	if send == nil {
		t.Fatal("the write does not come")
	}
	got := make([]byte, 8<<10)
	reads := func(want string) {
		t.Helper()
		if n, err := unix.Pread(reader, got, 0); n != len(got) || err != nil || string(got) != want {
			t.Errorf("read %d bytes (%v), %c and %c", n, err, got[0], got[4<<10])
		}
	}
	old, changed := bytes.Repeat([]byte{'o'}, 4<<10), bytes.Repeat([]byte{'n'}, 4<<10)
	reads(string(old) + string(old))
	send()
	check(t, <-wrote)
	reads(string(old) + string(changed))
}

// TestDirectFileIsMapped: what is open with O_DIRECT can be mapped, but where nothing is cached.
func TestDirectFileIsMapped(t *testing.T) {
	for mode, want := range map[ninefs.CacheMode]error{ninefs.CloseToOpen: nil, ninefs.CacheNone: unix.ENODEV, ninefs.Loose: nil} {
		noLeak(t)
		m := mount(t, exporter(t), func(o *ninefs.Options) { o.Cache = mode })
		fd, err := unix.Open(m.path("f"), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
		check(t, err)
		defer unix.Close(fd)
		check(t, unix.Ftruncate(fd, 4<<10))
		mem, err := unix.Mmap(fd, 0, 4<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if !errors.Is(err, want) {
			t.Errorf("cache %d: mmap answers %v, want %v", mode, err, want)
		}
		if err == nil {
			check(t, unix.Munmap(mem))
		}
	}
}

// TestDirectWritesExtend: writes beyond the end, of many at once, leave a file that holds all of them.
func TestDirectWritesExtend(t *testing.T) {
	const block, writers, each = 4 << 10, 8, 16
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		fd, err := unix.Open(m.path("f"), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
		check(t, err)
		defer unix.Close(fd)
		var writing sync.WaitGroup
		for w := range writers {
			data := filled(t, block, byte('a'+w))
			writing.Go(func() {
				for i := range each {
					if n, err := unix.Pwrite(fd, data, int64(i*writers+w)*block); n != block || err != nil {
						t.Errorf("%d bytes written: %v", n, err)
					}
				}
			})
		}
		writing.Wait()
		var want []byte
		for range each {
			for w := range writers {
				want = append(want, bytes.Repeat([]byte{byte('a' + w)}, block)...)
			}
		}
		if st := stat(t, m.path("f")); st.Size != int64(len(want)) {
			t.Errorf("the mount says %d bytes, want %d", st.Size, len(want))
		}
		wantContent(t, s.root+"/f", string(want))
	})
}
