package ninep_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// direct is a connection to a server of one endless file, which answers within Submit.
type direct struct {
	msize uint32
	lost  chan struct{}
	lie   func(*transport.Call) // changes a reply before it is delivered
}

func (*direct) Withdraw(*transport.Call) bool { return false }
func (*direct) Forget(uint16)                 {}
func (d *direct) SetMsize(uint32)             {}
func (d *direct) Lost() <-chan struct{}       { return d.lost }

func (d *direct) Err() error {
	select {
	case <-d.lost:
		return transport.ErrClosed
	default:
		return nil
	}
}

func (d *direct) Traits() transport.Traits {
	return transport.Traits{Name: "direct", MaxMsize: d.msize, Threshold: 1024}
}

func (d *direct) Close() error {
	select {
	case <-d.lost:
	default:
		close(d.lost)
	}
	return nil
}

func (d *direct) Submit(c *transport.Call) {
	kind := ninep.MsgType(c.Head[4])
	r := append(c.Reply[:0], 0, 0, 0, 0, byte(kind+1), byte(c.Tag), byte(c.Tag>>8))
	c.N, c.Err = 0, nil
	switch kind {
	case ninep.TypeTread, ninep.TypeTreaddir:
		count := binary.LittleEndian.Uint32(c.Head[len(c.Head)-4:])
		r = binary.LittleEndian.AppendUint32(r, count)
		if c.N = len(c.In); c.In == nil {
			r = r[:len(r)+int(count)]
		}
	case ninep.TypeTwrite:
		r = append(r, c.Head[ninep.WriteHeadSize-4:ninep.WriteHeadSize]...)
	case ninep.TypeTversion:
		r = append(r, c.Head[7:]...)
	case ninep.TypeTwalk:
		r = append(r, 0, 0)
	case ninep.TypeTattach:
		r = append(r, make([]byte, 13)...)
	}
	binary.LittleEndian.PutUint32(r, uint32(len(r)+c.N))
	c.Reply = r
	if d.lie != nil {
		d.lie(c)
	}
	c.Done.Complete(c)
}

func openDirect(tb testing.TB, msize uint32, z ninep.ZeroCopy, dialects ...ninep.Dialect) *ninep.Fid {
	tb.Helper()
	s, err := ninep.Open(context.Background(), ninep.Config{Dialects: dialects, Dial: func(context.Context) (transport.Conn, error) {
		return &direct{msize: msize, lost: make(chan struct{})}, nil
	}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	f, err := s.Attach(context.Background(), ninep.AttachOptions{Flow: transport.NewFlow(1 << 20), ZeroCopy: z, Meter: new(ninep.Meter)})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// TestThreshold: from so many bytes on a payload is handed over where it lies, on every fid of the attach.
func TestThreshold(t *testing.T) {
	for threshold, apart := range map[int]int{0: 1024, 1: 1, 5000: 5000} {
		var inline bool
		d := &direct{msize: 64 << 10, lost: make(chan struct{}), lie: func(c *transport.Call) {
			inline = c.Out == nil
		}}
		s, err := ninep.Open(testContext(t), ninep.Config{Dial: func(context.Context) (transport.Conn, error) { return d, nil }})
		ok(t, err)
		root := must(s.Attach(testContext(t), ninep.AttachOptions{Threshold: threshold}))(t)
		f := must(root.Walk(testContext(t)))(t)
		for _, n := range []int{apart - 1, apart} {
			must(f.Write(testContext(t), make([]byte, n), 0))(t)
			if want := n < apart; n > 0 && inline != want {
				t.Errorf("threshold %d: %d bytes inline: %v", threshold, n, inline)
			}
		}
		ok(t, s.Close())
	}
}

func BenchmarkRead(b *testing.B) {
	for name, size := range map[string]int{"4KiB": 4 << 10, "1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			f := openDirect(b, 64<<10, ninep.ZeroCopyAuto)
			buf := make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Read(context.Background(), buf, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	f := openDirect(b, 64<<10, ninep.ZeroCopyAuto)
	buf := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Write(context.Background(), buf, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFsync(b *testing.B) {
	f := openDirect(b, 64<<10, ninep.ZeroCopyAuto)
	b.ReportAllocs()
	for b.Loop() {
		_ = f.Fsync(context.Background(), true)
	}
}

// TestPayloadIsChecked: the client does not rely on the transport's word for how much of a buffer is data.
func TestPayloadIsChecked(t *testing.T) {
	for name, lie := range map[string]func(*transport.Call){
		"more than there is room for":    func(c *transport.Call) { c.N = len(c.In) + 1 },
		"less than the head says":        func(c *transport.Call) { c.N-- },
		"a size that is not the payload": func(c *transport.Call) { c.Reply[0]++ },
		"a head without a count":         func(c *transport.Call) { c.Reply = c.Reply[:ninep.HeaderSize] },
		"no head":                        func(c *transport.Call) { c.Reply = c.Reply[:3] },
		"another type":                   func(c *transport.Call) { c.Reply[4] = byte(ninep.TypeRwrite) },
	} {
		d := &direct{msize: 64 << 10, lost: make(chan struct{})}
		s, err := ninep.Open(testContext(t), ninep.Config{
			Dial:             func(context.Context) (transport.Conn, error) { return d, nil },
			ReconnectTimeout: -1,
		})
		ok(t, err)
		f := must(s.Attach(testContext(t), ninep.AttachOptions{}))(t)
		d.lie = lie
		n, err := f.Read(testContext(t), make([]byte, 100), 0)
		if n != 0 || !errors.Is(err, ninep.ErrMalformed) || !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		ok(t, s.Close())
	}
}
