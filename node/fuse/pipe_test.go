package fuse_test

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// TestReplyPipe: a READ is answered from a pipe, which is empty after that.
func TestReplyPipe(t *testing.T) {
	const size = 64 << 10
	want := bytes.Repeat([]byte("pipe"), size/4)
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if _, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, 2*size); err != nil {
		t.Fatal(err)
	}
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
			if n, err := unix.Write(fds[1], b); n != len(b) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
		if !r.ReplyPipe(fds[0], size) {
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
