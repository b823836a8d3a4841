package ninefs_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/ninefs"
)

type record struct {
	Value uint64
	Name  [20]byte
}

// duplicate is the descriptor as another process would be handed it.
func duplicate(t *testing.T, f *os.File) *os.File {
	t.Helper()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	check(t, err)
	return os.NewFile(uintptr(fd), f.Name())
}

func newTable(t *testing.T, limit uint32) *ninefs.Table[record] {
	t.Helper()
	table, err := ninefs.NewTable[record]("test", limit)
	check(t, err)
	t.Cleanup(func() { check(t, table.Close()) })
	return table
}

func TestSuccessorFindsRecords(t *testing.T) {
	table := newTable(t, 1<<20)
	const n = 50_000 // more than the file's first megabyte holds
	want := map[uint64]uint64{}
	for i := range uint64(n) {
		id, r, err := table.Alloc()
		check(t, err)
		r.Value = i
		want[id] = i
		if i%3 == 0 {
			table.Free(id)
			delete(want, id)
		}
	}
	successor, err := ninefs.OpenTable[record](duplicate(t, table.File()), 1<<20)
	check(t, err)
	defer successor.Close()
	successor.Each(func(id uint64, r *record) bool {
		if v, ok := want[id]; !ok || v != r.Value {
			t.Fatalf("id %#x holds %d, want %d (%t)", id, r.Value, v, ok)
		}
		delete(want, id)
		return true
	})
	if len(want) > 0 {
		t.Errorf("%d records were not found", len(want))
	}
	id, r, err := successor.Alloc()
	check(t, err)
	r.Value = 7
	if got := table.Get(id); got == nil || got.Value != 7 {
		t.Errorf("what the successor added is %v", got)
	}
}

func TestIDsAreNotUsedTwice(t *testing.T) {
	table := newTable(t, 4)
	seen := map[uint64]bool{}
	for range 1000 {
		id, r, err := table.Alloc()
		check(t, err)
		if seen[id] {
			t.Fatalf("id %#x was given out again", id)
		}
		if r.Value != 0 || r.Name != [20]byte{} {
			t.Fatalf("a new record holds %v", r)
		}
		r.Value, r.Name[3] = 1, 'x'
		seen[id] = true
		table.Free(id)
		if table.Get(id) != nil {
			t.Fatalf("id %#x is in use after it was freed", id)
		}
		table.Free(id) // and once more, which must not free what comes next
	}
}

func TestFirstIDIsTheRoots(t *testing.T) {
	if id, _, err := newTable(t, 4).Alloc(); id != 1 || err != nil {
		t.Errorf("the first id is %#x (%v), want FUSE_ROOT_ID", id, err)
	}
}

func TestFullTable(t *testing.T) {
	table := newTable(t, 2)
	for range 2 {
		_, _, err := table.Alloc()
		check(t, err)
	}
	if _, _, err := table.Alloc(); err == nil {
		t.Error("a third record in a table of two")
	}
}

func TestStrangeFilesAreRefused(t *testing.T) {
	table := newTable(t, 8)
	type other struct{ A, B, C, D, E, F, G uint64 }
	if _, err := ninefs.OpenTable[other](duplicate(t, table.File()), 8); !errors.Is(err, ninefs.ErrTable) {
		t.Errorf("a table of other records: %v", err)
	}
	f, err := os.Create(t.TempDir() + "/f")
	check(t, err)
	if _, err := ninefs.OpenTable[record](f, 8); !errors.Is(err, ninefs.ErrTable) {
		t.Errorf("an empty file: %v", err)
	}
	type pointer struct{ P *int }
	if _, err := ninefs.NewTable[pointer]("test", 8); !errors.Is(err, ninefs.ErrTable) {
		t.Errorf("records with an address: %v", err)
	}
}
