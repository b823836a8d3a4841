package stream

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// struct iovec of include/uapi/linux/uio.h: a pointer, then a size_t.
func TestVectorLayout(t *testing.T) {
	var v unix.Iovec
	word := unsafe.Sizeof(uintptr(0))
	if unsafe.Sizeof(v) != 2*word || unsafe.Offsetof(v.Base) != 0 || unsafe.Offsetof(v.Len) != word {
		t.Errorf("struct iovec has %d bytes, the length at %d", unsafe.Sizeof(v), unsafe.Offsetof(v.Len))
	}
	p := []byte("head")
	setVector(&v, p)
	if v.Base != &p[0] || v.Len != 4 {
		t.Errorf("%p and %d, want %p and 4", v.Base, v.Len, &p[0])
	}
}

func TestVectorsScatterAndGather(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	out, in := make([]unix.Iovec, 2), make([]unix.Iovec, 2)
	head, rest := make([]byte, 3), make([]byte, 9)
	setVector(&out[0], []byte("head "))
	setVector(&out[1], []byte("payload"))
	setVector(&in[0], head)
	setVector(&in[1], rest)
	if n, errno := writev(w.Fd(), out); n != 12 || errno != 0 {
		t.Fatalf("writev: %d, %v", n, errno)
	}
	if n, errno := readv(r.Fd(), in); n != 12 || errno != 0 {
		t.Fatalf("readv: %d, %v", n, errno)
	}
	if got := string(head) + "|" + string(rest); got != "hea|d payload" {
		t.Errorf("read %q", got)
	}
	if _, errno := writev(^uintptr(0), out); errno != unix.EBADF {
		t.Errorf("writev to no descriptor: %v", errno)
	}
	if _, errno := readv(^uintptr(0), in); errno != unix.EBADF {
		t.Errorf("readv from no descriptor: %v", errno)
	}
}
