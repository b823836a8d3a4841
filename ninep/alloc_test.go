//go:build !race

// With the race detector on, sync.Pool drops what it is given at random.

package ninep_test

import (
	"context"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestTransfersAllocateNothing: a read or a write costs no allocation, in one message or in many, with the payload apart
// or inside.
func TestTransfersAllocateNothing(t *testing.T) {
	inBothModes(t, transfersAllocateNothing)
}

func transfersAllocateNothing(t *testing.T, z ninep.ZeroCopy) {
	f := openDirect(t, 64<<10, z)
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
