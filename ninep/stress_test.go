package ninep_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestCancelsAndCuts runs operations whose contexts end anywhere while connections are cut: afterwards every fid number
// and every tag has come back.
func TestCancelsAndCuts(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{Msize: 16 << 10})
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range 100 {
				ctx, cancel := context.WithTimeout(testContext(t), time.Duration(random.IntN(3000))*time.Microsecond)
				err := createReadRename(ctx, root, fmt.Sprintf("%d-%d", w, i))
				cancel()
				if err != nil && !errors.Is(err, unix.EINTR) {
					t.Errorf("worker %d, round %d: %v", w, i, err)
				}
			}
		})
	}
	for n := uint64(1); n <= 3; n++ {
		g.cut()
		eventually(t, "a reconnect", func() bool { return s.Status().Reconnects >= n })
	}
	workers.Wait()
	var seen newFids
	var mu sync.Mutex
	last := uint16(0)
	g.intercept(func(_ *pair, tag uint16, m ninep.Message) bool {
		seen.see(m)
		mu.Lock()
		last = tag
		mu.Unlock()
		return true
	})
	eventually(t, "all numbers and tags", func() bool {
		f := must(root.Walk(testContext(t)))(t)
		ok(t, f.Clunk(testContext(t)))
		mu.Lock()
		defer mu.Unlock()
		return seen.last() == 1 && last == 0
	})
}

// createReadRename leaves nothing behind but, when it is cancelled, a file.
func createReadRename(ctx context.Context, dir *ninep.Fid, name string) error {
	f, err := dir.Walk(ctx)
	if err != nil {
		return err
	}
	defer f.Drop()
	if err := f.Create(ctx, name, unix.O_RDWR|unix.O_EXCL, 0o600, 0); err != nil {
		return err
	}
	data := []byte(strings.Repeat(name, 10000))
	if _, err := f.Write(ctx, data, 0); err != nil {
		return err
	}
	if n, err := f.Read(ctx, make([]byte, len(data)), 0); err != nil || n != len(data) {
		return errors.Join(err, fmt.Errorf("read %d of %d bytes", n, len(data)))
	}
	if err := dir.Rename(ctx, name, dir, name+"-moved"); err != nil {
		return err
	}
	return dir.Unlink(ctx, name+"-moved", false)
}
