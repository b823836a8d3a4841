package ninefs

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// ErrTable is wrapped by the error of opening a file that is no table of the wanted records.
var ErrTable = errors.New("not a table of these records")

// Table is an array of fixed-size records in a memfd, so that another process that is handed the file finds what this one
// knew. Records are named by ids of index and generation: an id that was freed is never valid again, and no id is an address.
// A record holds no pointers and stays where it is until it is freed.
//
// Alloc, Free, Get and Each may be called from several goroutines; what is in a record is guarded by the caller.
type Table[R any] struct {
	mu      sync.RWMutex
	file    *os.File
	mem     []byte // the reserved mapping; only what the file is long may be touched
	length  int64  // of the file, in bytes
	stride  int64  // from one record to the next, in bytes
	limit   uint32 // most records
	created bool
}

// growth is by how much a table's file is lengthened, in bytes.
const growth = 1 << 20

// NewTable makes an empty table for at most limit records. The name shows in /proc/PID/fd.
func NewTable[R any](name string, limit uint32) (*Table[R], error) {
	file, err := newMemfd(name)
	if err != nil {
		return nil, err
	}
	t := &Table[R]{file: file, limit: limit, created: true}
	if err := t.open(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return t, nil
}

// OpenTable takes over the table in a file; it owns the file, also when it fails. Errors wrap [ErrTable] where the file holds
// something else.
func OpenTable[R any](file *os.File, limit uint32) (*Table[R], error) {
	t := &Table[R]{file: file, limit: limit}
	if err := t.open(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return t, nil
}

func (t *Table[R]) open() error {
	if err := checkFlat[R](); err != nil {
		return err
	}
	t.stride = strideOf[R]()
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	t.length = info.Size()
	if t.mem, err = reserve(t.file, headerSize+int64(t.limit)*t.stride); err != nil {
		return err
	}
	if t.created {
		if err = t.grow(); err == nil {
			*t.header() = tableHeader{Magic: tableMagic, Stride: uint32(t.stride)}
		}
	} else if err = t.check(); err != nil {
		err = fmt.Errorf("%s: %w", t.file.Name(), err)
	}
	if err != nil {
		return errors.Join(err, unreserve(t.mem))
	}
	return nil
}

// check refuses a file whose header this code can't have written.
func (t *Table[R]) check() error {
	if t.length < headerSize || t.length > int64(len(t.mem)) {
		return ErrTable
	}
	h := t.header()
	if h.Magic != tableMagic || int64(h.Stride) != t.stride || headerSize+int64(h.Used)*t.stride > t.length || h.Free > h.Used {
		return ErrTable
	}
	return nil
}

// File is the memfd, owned by the table.
func (t *Table[R]) File() *os.File { return t.file }

// Close unmaps the table. No record may be touched afterwards.
func (t *Table[R]) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mem == nil {
		return nil
	}
	mem := t.mem
	t.mem = nil
	return errors.Join(unreserve(mem), t.file.Close())
}

// Alloc returns a zeroed record and its id. The error is that of a full table or of a system out of memory.
func (t *Table[R]) Alloc() (id uint64, r *R, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.header()
	index := h.Free
	if index == 0 {
		if h.Used == t.limit {
			return 0, nil, fmt.Errorf("%s: all %d records are in use", t.file.Name(), t.limit)
		}
		if headerSize+(int64(h.Used)+1)*t.stride > t.length {
			if err := t.grow(); err != nil {
				return 0, nil, err
			}
		}
		h.Used++
		index = h.Used
	}
	s := t.slot(index)
	if h.Free == index {
		h.Free = s.Next
	}
	s.Next, s.Live = 0, 1
	clear(bytesOf(&s.Record))
	return idOf(index, s.Generation), &s.Record, nil
}

// Get returns the record of an id, or nil for one that is not in use.
func (t *Table[R]) Get(id uint64) *R {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if s := t.find(id); s != nil {
		return &s.Record
	}
	return nil
}

// Free ends the use of a record; its id is not valid any more.
func (t *Table[R]) Free(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(id)
	if s == nil {
		return
	}
	h := t.header()
	s.Generation++
	s.Live = 0
	s.Next, h.Free = h.Free, indexOf(id)
}

// Each calls f with every record in use until it returns false. It must not call Alloc or Free.
func (t *Table[R]) Each(f func(id uint64, r *R) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for index := uint32(1); index <= t.header().Used; index++ {
		if s := t.slot(index); s.Live != 0 && !f(idOf(index, s.Generation), &s.Record) {
			return
		}
	}
}

func (t *Table[R]) find(id uint64) *slot[R] {
	index := indexOf(id)
	if index == 0 || index > t.header().Used {
		return nil
	}
	if s := t.slot(index); s.Live != 0 && idOf(index, s.Generation) == id {
		return s
	}
	return nil
}

// idOf makes an id of an index from 1 on: the first record of a new table has the id 1, as FUSE wants of a root.
func idOf(index, generation uint32) uint64 { return uint64(generation)<<32 | uint64(index) }

// indexOf is where in-process data that goes with a record is kept.
func indexOf(id uint64) uint32 { return uint32(id) }
