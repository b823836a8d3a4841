package fuse_test

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// newPipe returns the ends of a pipe with room for that many bytes.
func newPipe(t *testing.T, size int) (read, write int) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	if _, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, size); err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

// TestReplyPipe: a READ is answered from a pipe, which is empty after that.
func TestReplyPipe(t *testing.T) {
	const size = 64 << 10
	want := bytes.Repeat([]byte("pipe"), size/4)
	from, to := newPipe(t, 2*size)
	fs := newMemFS(t, fuse.IOURingOff)
	fs.add("data", nil).size = size
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpRead {
			return false
		}
		var head [fuse.PipeHeadSize]byte
		if !r.PutPipeHead(&head, size) {
			r.ReplyData(want)
			return true
		}
		for _, b := range [][]byte{head[:], want} {
			if n, err := unix.Write(to, b); n != len(b) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
		if !r.ReplyPipe(from, size) {
			t.Error("the pipe is said not to be empty")
		}
		return true
	})
	m := mount(t, fs, fuse.Config{})
	fd := open(t, m.path("data"), unix.O_RDONLY|unix.O_DIRECT)
	got := aligned(t, size)
	for range 3 {
		if n, err := unix.Pread(fd, got, 0); n != size || err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, or wrong ones: %v", n, err)
		}
		clear(got)
	}
}

// TestReplyPipeRefused: a READ whose pipe the kernel does not take is answered all the same, and the pipe is said not to be empty.
func TestReplyPipeRefused(t *testing.T) {
	const size = 64 << 10
	from, to := newPipe(t, 2*size)
	fs := newMemFS(t, fuse.IOURingOff)
	fs.add("data", nil).size = size
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpRead {
			return false
		}
		var head [fuse.PipeHeadSize]byte
		if !r.PutPipeHead(&head, size) {
			r.ReplyError(unix.EIO) // no pipe on this loop
			return true
		}
		for _, b := range [][]byte{head[:], make([]byte, size/2)} {
			if n, err := unix.Write(to, b); n != len(b) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
		if r.ReplyPipe(from, size) {
			t.Error("the pipe is said to be empty")
		}
		return true
	})
	m := mount(t, fs, fuse.Config{})
	fd := open(t, m.path("data"), unix.O_RDONLY|unix.O_DIRECT)
	if n, err := unix.Pread(fd, aligned(t, size), 0); err != unix.EIO {
		t.Errorf("%d bytes, %v", n, err)
	}
}
