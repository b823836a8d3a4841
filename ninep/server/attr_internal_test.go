package server

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnitOfFigures: blocks are counted in fragments where a file system tells of them, which need not be what it likes to move.
func TestUnitOfFigures(t *testing.T) {
	for _, st := range []unix.Statfs_t{{Bsize: 1 << 20, Frsize: 4096, Blocks: 100}, {Bsize: 4096, Blocks: 100}} {
		if s := figures(&st); s.BlockSize != 4096 || s.Blocks != 100 {
			t.Errorf("%+v is told as %d blocks of %d bytes", st, s.Blocks, s.BlockSize)
		}
	}
}
