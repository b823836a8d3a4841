package server_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// TestLongReads: long Rreads bring what is in the file, from wherever they begin, at its end, and among others.
func TestLongReads(t *testing.T) {
	e := newExport(t, server.Options{})
	content := make([]byte, 3<<20+777)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(content)
	e.write("f", string(content), 0o600)
	for name, c := range map[string]*client{"unix": e.client(0), "tcp": e.clientOverTCP(0)} {
		fid := c.open(ninep.OpenReadOnly, "f")
		for _, count := range []int{127 << 10, 128 << 10, 200_001, 1<<20 - 4096, 1 << 20, 2 << 20} {
			for _, offset := range []int{0, 1, 4095, 1 << 20, 2<<20 + 5, len(content) - 130_000, len(content) - 5000, len(content)} {
				want := content[offset:min(len(content), offset+count)]
				got := c.read(fid, uint64(offset), uint32(count))
				// Less is allowed, nothing only at the end.
				if len(got) > len(want) || got != string(want[:len(got)]) || len(got) == 0 && len(want) > 0 {
					t.Fatalf("%s: %d bytes at %d: %d bytes came, or others", name, count, offset, len(got))
				}
				if offset%4096 == 0 && count < 1<<20 && len(got) != len(want) {
					t.Errorf("%s: %d bytes at %d: only %d came", name, count, offset, len(got))
				}
			}
		}
		const many = 20
		for tag := range uint16(many) {
			c.send(tag, &ninep.Tread{Fid: fid, Offset: uint64(tag) * 100_000, Count: 512 << 10})
		}
		for range many {
			tag, m := c.receive()
			at := int(tag) * 100_000
			r, ok := m.(*ninep.Rread)
			if !ok || string(r.Data) != string(content[at:at+len(r.Data)]) {
				t.Fatalf("%s: tag %d: %T, or other bytes", name, tag, m)
			}
		}
	}
}

// TestHangUpWithinALongRead: a client that is gone before it has all of a reply leaves nothing behind.
func TestHangUpWithinALongRead(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", string(make([]byte, 2<<20)), 0o600)
	for range 4 {
		c := e.client(0)
		fid := c.open(ninep.OpenReadOnly, "f")
		for tag := range uint16(4) {
			c.send(tag, &ninep.Tread{Fid: fid, Count: 1 << 20})
		}
		if _, err := c.nc.Read(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		_ = c.nc.Close()
	}
}

// TestUnreadLongReads: a client that does not read has few descriptors of the server's, and gets all of its replies in the end.
func TestUnreadLongReads(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", string(make([]byte, 1<<20)), 0o600)
	c := e.client(0)
	fid := c.open(ninep.OpenReadOnly, "f")
	before := len(descriptors(t))
	const many = 50
	for tag := range uint16(many) {
		c.send(tag, &ninep.Tread{Fid: fid, Count: 1<<20 - ninep.IOHeaderSize})
	}
	for e.server.Stats().InFlight > 0 {
		time.Sleep(time.Millisecond)
	}
	if more := len(descriptors(t)) - before; more > 40 {
		t.Errorf("%d replies have %d descriptors", many, more)
	}
	for range many {
		if _, m := c.receive(); len(ninep.Payload(m)) == 0 {
			t.Errorf("%+v", m)
		}
	}
}
