package ninep_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// TestTenThousandReadsThroughTwoSlots: a crowd at a narrow door, where every third gives up, ends well: who stayed has its
// bytes, who gave up is told so, and all memory, tags and goroutines have come back.
func TestTenThousandReadsThroughTwoSlots(t *testing.T) { inBothModes(t, tenThousandReads) }

func tenThousandReads(t *testing.T, z ninep.ZeroCopy) {
	const crowd, size = 10_000, 2000
	s := serveFilesBy(t, "unix", ninep.Config{}, stream.Options{Slots: 2, Reserve: 1})
	ctx := t.Context()
	f := must(s.Attach(ctx, ninep.AttachOptions{Aname: "/", Flow: transport.NewFlow(3 * size), ZeroCopy: z}))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR|unix.O_CREAT, 0o600, ninep.NoUID))
	want := pattern(size)
	must(f.Write(ctx, want, 0))(t)
	arena, err := transport.NewArena(transport.ArenaOptions{SlotSize: 4 << 10, Limit: crowd / 4 * 4 << 10})
	ok(t, err)
	t.Cleanup(func() { _ = arena.Close() })

	var people sync.WaitGroup
	var gaveUp atomic.Int64
	for i := range crowd {
		ctx, cancel := context.WithCancel(ctx)
		people.Go(func() {
			defer cancel()
			switch err := readInto(ctx, f, arena, want); {
			case i%3 == 0 && errors.Is(err, context.Canceled):
				gaveUp.Add(1)
			case err != nil:
				t.Errorf("read %d: %v", i, err)
			}
		})
		if i%3 == 0 {
			people.Go(cancel)
		}
	}
	people.Wait()
	if n := gaveUp.Load(); n == 0 || n == crowd {
		t.Errorf("%d of %d gave up", n, crowd)
	}
	if used, _ := arena.Usage(); used != 0 {
		t.Errorf("%d bytes of slots have not come back", used)
	}
	ok(t, f.Clunk(ctx))
	if n := s.Stats().InFlight; n.Calls != 0 {
		t.Errorf("%d calls in flight", n.Calls)
	}
}

// readInto reads into a slot of the arena.
func readInto(ctx context.Context, f *ninep.Fid, arena *transport.Arena, want []byte) error {
	slot, err := arena.Get(ctx, len(want))
	if err != nil {
		return err
	}
	defer slot.Release()
	n, err := f.Read(ctx, slot.Bytes()[:len(want)], 0)
	if err == nil && !bytes.Equal(slot.Bytes()[:n], want) {
		err = errors.New("wrong bytes")
	}
	return err
}

// TestLargeMsizeCostsSmallMessagesNothing: however large messages may be, small ones take small memory, at both ends.
func TestLargeMsizeCostsSmallMessagesNothing(t *testing.T) {
	s := serveFilesBy(t, "unix", ninep.Config{Msize: 4<<20 + ninep.IOHeaderSize}, stream.Options{})
	if got := s.MaxPayload(); got != 4<<20 {
		t.Fatalf("messages of %d bytes of payload, want 4 MiB", got)
	}
	ctx := t.Context()
	f := must(s.Attach(ctx, ninep.AttachOptions{Aname: "/"}))(t)
	const crowd, each = 64, 25
	run := func() {
		var group errgroup.Group
		for range crowd {
			group.Go(func() error {
				for range each {
					n, err := f.Walk(ctx)
					if err != nil {
						return err
					}
					if _, err := n.Getattr(ctx, ninep.AttrBasic); err != nil {
						return err
					}
					n.Drop()
				}
				return nil
			})
		}
		ok(t, group.Wait())
	}
	run()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	if per := (after.TotalAlloc - before.TotalAlloc) / (crowd * each); per > 16<<10 {
		t.Errorf("three small messages allocate %d bytes", per)
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 64<<20 {
		t.Errorf("%d in flight take %d bytes more of the system", crowd, grown)
	}
}
