package server_test

import (
	"encoding/binary"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// TestWriteThatWaits: while writes to a file wait, other requests of the connection are answered, and in the end all are.
func TestWriteThatWaits(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("held", strings.Repeat("-", 64), 0o666)
	e.write("free", "free", 0o666)
	c := e.client(0)
	held, free := c.open(ninep.OpenReadWrite, "held"), c.open(ninep.OpenReadWrite, "free")
	for range 3 { // the first is under a lease, and so may be others
		letGo := holdFile(t, e.path("held"))
		const writes = 5
		for i := range uint16(writes) {
			c.send(100+i, &ninep.Twrite{Fid: held, Offset: uint64(i), Data: []byte{byte('a' + i)}})
			c.send(200+i, &ninep.Twrite{Fid: free, Offset: uint64(i), Data: []byte{byte('a' + i)}})
			c.send(300+i, &ninep.Tgetattr{Fid: free, Mask: ninep.AttrBasic})
		}
		for range 2 * writes {
			if tag, reply := c.receive(); tag < 200 {
				t.Fatalf("a write to the file that is held is answered: %v", reply)
			}
		}
		letGo()
		for range writes {
			tag, reply := c.receive()
			if r, ok := reply.(*ninep.Rwrite); tag >= 200 || !ok || r.Count != 1 {
				t.Fatalf("tag %d: %v", tag, reply)
			}
		}
		if got := e.read("held"); got[:5] != "abcde" {
			t.Errorf("held has %q", got[:5])
		}
		if got := e.read("free"); got != "abcde" {
			t.Errorf("free has %q", got)
		}
	}
}

// holdFile keeps the kernel's lock of a file, which writes take, until letGo: somebody else is writing to it what is on a page that
// is yet to come (userfaultfd(2)).
func holdFile(t *testing.T, path string) (letGo func()) {
	t.Helper()
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	faults, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0)
	if errno != 0 {
		t.Fatalf("userfaultfd: %v", errno)
	}
	address := uint64(uintptr(unsafe.Pointer(&page[0])))
	// The calls and structures of linux/userfaultfd.h.
	const api, register, zeropage = 0xc018aa3f, 0xc020aa00, 0xc020aa04
	control := func(request uintptr, arg []uint64) {
		t.Helper()
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, faults, request, uintptr(unsafe.Pointer(&arg[0]))); errno != 0 {
			t.Fatalf("userfaultfd %#x: %v", request, errno)
		}
	}
	control(api, []uint64{0xaa, 0, 0})
	control(register, []uint64{address, uint64(len(page)), 1, 0})
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		if n, err := unix.Pwrite(int(file.Fd()), page[:8], 32); n != 8 || err != nil {
			t.Errorf("the holder wrote %d bytes: %v", n, err)
		}
	})
	var message [32]byte // struct uffd_msg
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		if n, err := unix.Read(int(faults), message[:]); err == nil && n == len(message) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody holds the file")
		}
	}
	if at := binary.NativeEndian.Uint64(message[16:]); at&^uint64(len(page)-1) != address {
		t.Fatalf("a fault at %#x", at)
	}
	return func() {
		control(zeropage, []uint64{address, uint64(len(page)), 0, 0})
		writing.Wait()
		file.Close()
		unix.Close(int(faults))
		if err := unix.Munmap(page); err != nil {
			t.Error(err)
		}
	}
}
