package ninefs

import (
	"fmt"
	"os"
	"reflect"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is all of the package's unsafe code: records in a mapped file seen as Go structures. Their layout is Go's own,
// which for the fixed-size fields allowed by checkFlat is that of C on the machine; a successor is a process of the same
// machine, and the header tells it a table of another layout.

// tableMagic tells a table from other files, its last digits the version of the layout.
const tableMagic uint64 = 0x39705461_626c0003

// headerSize is where the records begin: a cache line, so that the header shares none with them.
const headerSize = 64

// tableHeader is the beginning of a table's file.
type tableHeader struct {
	Magic  uint64
	Stride uint32 // bytes from one slot to the next
	Used   uint32 // slots that were ever used
	Free   uint32 // the first free one of these, from 1 on; 0: none
}

// slot is a record and the books kept of it.
type slot[R any] struct {
	Generation uint32 // how often it was freed
	Next       uint32 // while free: the next free one
	Live       uint32 // 1 while in use
	_          uint32
	Record     R
}

func newMemfd(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// reserve maps size bytes of a file that may be shorter: touching what is beyond its end would be SIGBUS.
func reserve(file *os.File, size int64) ([]byte, error) {
	mem, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return mem, nil
}

func unreserve(mem []byte) error { return os.NewSyscallError("munmap", unix.Munmap(mem)) }

func (t *Table[R]) grow() error {
	length := min(t.length+max(growth, headerSize+t.stride), int64(len(t.mem)))
	if err := t.file.Truncate(length); err != nil {
		return err
	}
	t.length = length
	return nil
}

func (t *Table[R]) header() *tableHeader {
	return (*tableHeader)(unsafe.Pointer(unsafe.SliceData(t.mem)))
}

// slot returns the slot of an index from 1 to header.Used.
func (t *Table[R]) slot(index uint32) *slot[R] {
	return (*slot[R])(unsafe.Pointer(&t.mem[headerSize+int64(index-1)*t.stride]))
}

func strideOf[R any]() int64 { return int64(unsafe.Sizeof(slot[R]{})) }

func bytesOf[R any](r *R) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(r)), unsafe.Sizeof(*r)) }

// checkFlat refuses records that hold an address or whose layout depends on the word size.
func checkFlat[R any]() error {
	return flat(reflect.TypeFor[R]())
}

func flat(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int32, reflect.Int64:
		return nil
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if err := flat(t.Field(i).Type); err != nil {
				return fmt.Errorf("%s.%w", t.Name(), err)
			}
		}
		return nil
	default:
		return fmt.Errorf("%s can't be in a record: %w", t, ErrTable)
	}
}
