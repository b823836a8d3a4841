package ninefs

import (
	"testing"
	"unsafe"
)

// TestLayout holds the records to the layout that a process started later finds in the memfd.
func TestLayout(t *testing.T) {
	var n nodeRecord
	var h handleRecord
	var header tableHeader
	var s slot[nodeRecord]
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"tableHeader", unsafe.Sizeof(header), 24},
		{"tableHeader.Stride", unsafe.Offsetof(header.Stride), 8},
		{"tableHeader.Used", unsafe.Offsetof(header.Used), 12},
		{"tableHeader.Free", unsafe.Offsetof(header.Free), 16},
		{"slot.Record", unsafe.Offsetof(s.Record), 16},
		{"slot of nodes", unsafe.Sizeof(s), 16 + 336},
		{"nodeRecord", unsafe.Sizeof(n), 336},
		{"nodeRecord.Ino", unsafe.Offsetof(n.Ino), 8},
		{"nodeRecord.Lookups", unsafe.Offsetof(n.Lookups), 16},
		{"nodeRecord.Size", unsafe.Offsetof(n.Size), 24},
		{"nodeRecord.Version", unsafe.Offsetof(n.Version), 56},
		{"nodeRecord.Format", unsafe.Offsetof(n.Format), 60},
		{"nodeRecord.Parent", unsafe.Offsetof(n.Parent), 64},
		{"nodeRecord.QIDType", unsafe.Offsetof(n.QIDType), 72},
		{"nodeRecord.Name", unsafe.Offsetof(n.Name), 74},
		{"handleRecord", unsafe.Sizeof(h), 24},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.got, c.want)
		}
	}
}
