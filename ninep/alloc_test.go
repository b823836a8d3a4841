//go:build !race

// With the race detector on, sync.Pool drops what it is given at random.

package ninep_test

import (
	"context"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestTransfersAllocateNothing: a read or a write costs no allocation, in one message or in many, with the payload apart
// or inside, in every dialect.
func TestTransfersAllocateNothing(t *testing.T) {
	for _, d := range everyDialect {
		t.Run(d.String(), func(t *testing.T) {
			inBothModes(t, func(t *testing.T, z ninep.ZeroCopy) { transfersAllocateNothing(t, openDirect(t, 64<<10, z, d)) })
		})
	}
}

func transfersAllocateNothing(t *testing.T, f *ninep.Fid) {
	t.Helper()
	ctx := context.Background()
	for _, size := range []int{100, 4096, 60 << 10, 1 << 20} {
		buf := make([]byte, size)
		io := &ninep.IO{Buf: buf, Done: func(*ninep.IO) {}}
		for name, transfer := range map[string]func(){
			"Read":       func() { _, _ = f.Read(ctx, buf, 0) },
			"Write":      func() { _, _ = f.Write(ctx, buf, 0) },
			"StartRead":  func() { f.StartRead(io) },
			"StartWrite": func() { f.StartWrite(io) },
		} {
			if n := testing.AllocsPerRun(200, transfer); n != 0 {
				t.Errorf("%s of %d bytes: %v allocations", name, size, n)
			}
			if io.Err != nil {
				t.Errorf("%s of %d bytes: %v", name, size, io.Err)
			}
		}
	}
}
