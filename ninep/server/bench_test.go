package server_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// rawRead is a client that reads one message again and again and allocates nothing.
type rawRead struct {
	nc      net.Conn
	request []byte
	reply   []byte
}

func newRawRead(t testing.TB, size uint32, uid uint32) *rawRead {
	e := newExport(t, server.Options{})
	e.write("f", string(make([]byte, size)), 0o666)
	c := e.client(uid)
	fid := c.open(ninep.OpenReadOnly, "f")
	request, err := ninep.Append(nil, 7, &ninep.Tread{Fid: fid, Count: size})
	if err != nil {
		t.Fatal(err)
	}
	return &rawRead{nc: c.nc, request: request, reply: make([]byte, ninep.ReadHeadSize+size)}
}

func (r *rawRead) once(t testing.TB) {
	if _, err := r.nc.Write(r.request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r.nc, r.reply); err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint32(r.reply); int(got) != len(r.reply) {
		t.Fatalf("a reply of %d bytes, %d expected", got, len(r.reply))
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []uint32{4 << 10, 1<<20 - ninep.IOHeaderSize} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := newRawRead(b, size, 0)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				r.once(b)
			}
		})
	}
}

func newRawWrite(t testing.TB, size uint32, uid uint32) *rawRead {
	e := newExport(t, server.Options{})
	e.write("f", "", 0o666)
	c := e.client(uid)
	fid := c.open(ninep.OpenWriteOnly, "f")
	m := &ninep.Twrite{Fid: fid, Data: make([]byte, size)}
	request, err := ninep.Append(nil, 7, m)
	if err != nil {
		t.Fatal(err)
	}
	return &rawRead{nc: c.nc, request: append(request, m.Data...), reply: make([]byte, ninep.HeaderSize+4)}
}

func BenchmarkWrite(b *testing.B) {
	for _, uid := range []uint32{0, 4242} {
		for _, size := range []uint32{4 << 10, 1<<20 - ninep.IOHeaderSize} {
			b.Run(fmt.Sprintf("uid=%d/%d", uid, size), func(b *testing.B) {
				w := newRawWrite(b, size, uid)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					w.once(b)
				}
			})
		}
	}
}

func BenchmarkWalkGetattrClunk(b *testing.B) {
	for _, uid := range []uint32{0, 4242} {
		b.Run(fmt.Sprintf("uid=%d", uid), func(b *testing.B) {
			e := newExport(b, server.Options{})
			e.write("f", "", 0o666)
			c := e.client(uid)
			b.ReportAllocs()
			for b.Loop() {
				fid := c.walk("f")
				c.getattr(fid)
				c.clunk(fid)
			}
		})
	}
}

// Tread and Twrite allocate nothing: their buffers are pooled and their fields decoded in place.
func TestIOAllocatesNothing(t *testing.T) {
	for name, raw := range map[string]*rawRead{
		"read":          newRawRead(t, 4096, 0),
		"write":         newRawWrite(t, 4096, 0),
		"write as user": newRawWrite(t, 4096, 4242),
		"long read":     newRawRead(t, 512<<10, 0), // the last to start: it opens descriptors
	} {
		for range 100 {
			raw.once(t)
		}
		// Garbage collection may empty the pools now and then.
		if n := testing.AllocsPerRun(1000, func() { raw.once(t) }); n >= 1 {
			t.Errorf("%s: %v allocations per message", name, n)
		}
	}
}
