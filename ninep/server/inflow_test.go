package server_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// pattern is n bytes, no two blocks of which are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// TestLongWrites: what is long enough for a pipe arrives whole, from either side of the limits, at any offset, in whatever pieces.
func TestLongWrites(t *testing.T) {
	for network, dial := range map[string]func(*export) *client{
		"unix": func(e *export) *client { return e.client(0) },
		"tcp":  func(e *export) *client { return e.clientOverTCP(0) },
	} {
		t.Run(network, func(t *testing.T) {
			e := newExport(t, server.Options{})
			e.write("f", "", 0o644)
			c := dial(e)
			fid := c.open(ninep.OpenReadWrite, "f")
			for _, n := range []int{128<<10 - 1, 128 << 10, 1<<20 - 4096, 1<<20 - ninep.IOHeaderSize} {
				for _, offset := range []int{0, 4093} {
					data := pattern(n)
					if r := ask[*ninep.Rwrite](c, &ninep.Twrite{Fid: fid, Offset: uint64(offset), Data: data}); int(r.Count) != n {
						t.Errorf("%d of %d bytes are written", r.Count, n)
					}
					if got := e.read("f")[offset:][:n]; got != string(data) {
						t.Errorf("%d bytes at %d arrive changed", n, offset)
					}
				}
			}
		})
	}
}

// TestLongWriteInPieces: more pieces than a pipe has places for.
func TestLongWriteInPieces(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "", 0o644)
	c := e.client(0)
	fid := c.open(ninep.OpenReadWrite, "f")
	data := pattern(300 << 10)
	m := &ninep.Twrite{Fid: fid, Data: data}
	head, err := ninep.Append(nil, 1, m)
	if err != nil {
		t.Fatal(err)
	}
	frame := append(head, data...)
	for len(frame) > 0 {
		n := min(251, len(frame))
		if _, err := c.nc.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		frame = frame[n:]
	}
	if _, reply := c.receive(); reply.(*ninep.Rwrite).Count != uint32(len(data)) {
		t.Errorf("answered with %v", reply)
	}
	if e.read("f") != string(data) {
		t.Error("the data arrives changed")
	}
}

// TestLongWriteElsewhere: where splice(2) does not go the data goes another way, or nowhere.
func TestLongWriteElsewhere(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "begin ", 0o644)
	c := e.client(0)
	data := pattern(256 << 10)
	appending, reading := c.open(ninep.OpenWriteOnly|ninep.OpenAppend, "f"), c.open(ninep.OpenReadOnly, "f")
	for range 20 { // more than there are pipes
		c.fails(&ninep.Twrite{Fid: reading, Data: data}, unix.EBADF)
		c.fails(&ninep.Twrite{Fid: 4711, Data: data}, unix.EBADF)
	}
	if r := ask[*ninep.Rwrite](c, &ninep.Twrite{Fid: appending, Data: data}); int(r.Count) != len(data) {
		t.Errorf("%d of %d bytes are appended", r.Count, len(data))
	}
	if e.read("f") != "begin "+string(data) {
		t.Error("what was appended arrives changed")
	}
}

// TestLongWriteUnspliced: not every file system of the host has splice(2) to its files, and those that have not refuse it as this one
// does with O_APPEND.
func TestLongWriteUnspliced(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "", 0o644)
	c := e.client(0)
	fid := c.open(ninep.OpenReadWrite, "f")
	servers := 0
	for fd := range 1024 {
		if path, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd)); err == nil && path == e.path("f") {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND); err != nil {
				t.Fatal(err)
			}
			servers++
		}
	}
	if servers != 1 {
		t.Fatalf("the server has %d descriptors of the file", servers)
	}
	data := pattern(256 << 10)
	if r := ask[*ninep.Rwrite](c, &ninep.Twrite{Fid: fid, Data: data}); int(r.Count) != len(data) {
		t.Errorf("%d of %d bytes are written", r.Count, len(data))
	}
	if e.read("f") != string(data) {
		t.Error("what was written arrives changed")
	}
}

// TestStalledWrite: a client that stops in the middle of a long write keeps neither the file nor others.
func TestStalledWrite(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "as it was", 0o644)
	c, other := e.client(0), e.client(0)
	fid, theirs := c.open(ninep.OpenReadWrite, "f"), other.open(ninep.OpenReadWrite, "f")
	m := &ninep.Twrite{Fid: fid, Data: bytes.Repeat([]byte{'x'}, 512<<10)}
	head, err := ninep.Append(nil, 1, m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.nc.Write(append(head, m.Data[:200<<10]...)); err != nil {
		t.Fatal(err)
	}
	other.nc.SetDeadline(time.Now().Add(10 * time.Second))
	other.write(theirs, 6, "is.")
	if got := e.read("f"); got != "as it is." {
		t.Errorf("the file has %.20q", got)
	}
	c.nc.Close()
	other.write(theirs, 6, "was")
	if got := e.read("f"); got != "as it was" {
		t.Errorf("the file has %.20q", got)
	}
}
