package ninep_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// calls are the statistics of one type; zero if none was sent.
func calls(s *ninep.Session, of ninep.MsgType) ninep.CallStats {
	all := s.Stats().Calls
	if i := slices.IndexFunc(all, func(c ninep.CallStats) bool { return c.Type == of }); i >= 0 {
		return all[i]
	}
	return ninep.CallStats{Type: of}
}

// TestStatsCountCalls: every call counts once, under its type, with how long it took and whether it was refused.
func TestStatsCountCalls(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	const wait = 20 * time.Millisecond
	g.intercept(func(_ *pair, _ uint16, m ninep.Message) bool {
		if m.Type() == ninep.TypeTstatfs {
			time.Sleep(wait)
		}
		return true
	})
	must(root.Statfs(testContext(t)))(t)
	if got := calls(s, ninep.TypeTstatfs); got.Latency.Count() != 1 || got.Latency.Sum < wait || got.Errors+got.Unanswered != 0 {
		t.Errorf("Tstatfs: %+v", got)
	}
	before := calls(s, ninep.TypeTwalk)
	if _, err := root.Walk(testContext(t), "absent"); err == nil {
		t.Fatal("walked to nothing")
	}
	if got := calls(s, ninep.TypeTwalk); got.Errors != before.Errors+1 || got.Latency.Count() != before.Latency.Count()+1 {
		t.Errorf("Twalk: %+v", got)
	}
	if got := s.Stats(); got.Fids != 1 || got.InFlight != (ninep.Load{}) {
		t.Errorf("at rest: %+v", got)
	}
}

// TestStatsCountPayload: by direction, and by whether it was copied on its way.
func TestStatsCountPayload(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{Msize: 64<<10 + ninep.IOHeaderSize})
	f := must(root.Walk(testContext(t)))(t)
	ok(t, f.Create(testContext(t), "f", unix.O_RDWR, 0o600, ninep.NoUID))
	must(f.Write(testContext(t), make([]byte, 64<<10), 0))(t)
	must(f.Write(testContext(t), make([]byte, 100), 0))(t)
	must(f.Read(testContext(t), make([]byte, 64<<10), 0))(t)
	// The gate's connection is no socket, so that every byte goes by way of a buffer.
	want := ninep.Traffic{Copied: 64<<10 + 100}
	if got := s.Stats(); got.Sent != want || got.Received != (ninep.Traffic{Copied: 64 << 10}) {
		t.Errorf("sent %+v, received %+v", got.Sent, got.Received)
	}
}

// TestStatsShowWhatIsUnderWay: calls without an answer, with their payload, and the reads that wait for a lost server.
func TestStatsShowWhatIsUnderWay(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{Msize: 64<<10 + ninep.IOHeaderSize})
	f := must(root.Walk(testContext(t)))(t)
	ok(t, f.Create(testContext(t), "f", unix.O_RDWR, 0o600, ninep.NoUID))
	var held atomic.Bool
	held.Store(true)
	g.intercept(func(_ *pair, _ uint16, m ninep.Message) bool { return !held.Load() || m.Type() != ninep.TypeTread })
	done := make(chan error, 1)
	go func() {
		_, err := f.Read(context.Background(), make([]byte, 32<<10), 0)
		done <- err
	}()
	want := ninep.Load{Calls: 1, Bytes: 32 << 10}
	eventually(t, "the read to be under way", func() bool { return s.Stats().InFlight == want })
	g.kill()
	eventually(t, "the read to be parked", func() bool { return s.Stats().Parked == 1 && s.Stats().InFlight == ninep.Load{} })
	held.Store(false)
	g.revive()
	ok(t, <-done)
	if got := calls(s, ninep.TypeTread); got.Unanswered != 1 || got.Latency.Count() != 1 {
		t.Errorf("Tread: %+v", got)
	}
	if got := s.Stats(); got.Parked != 0 || s.Status().Reconnects != 1 {
		t.Errorf("after the return: %+v, %+v", got, s.Status())
	}
}

// TestStatsAdd: the figures of two sessions make one.
func TestStatsAdd(t *testing.T) {
	one := ninep.Stats{
		Calls:    []ninep.CallStats{{Type: ninep.TypeTread, Errors: 1}},
		Sent:     ninep.Traffic{Placed: 1, Copied: 2},
		InFlight: ninep.Load{Calls: 1, Bytes: 10},
		Fids:     3,
		Spoiled:  4,
	}
	sum := ninep.Stats{}
	sum.Add(one)
	sum.Add(one)
	sum.Add(ninep.Stats{Calls: []ninep.CallStats{{Type: ninep.TypeTwrite, Unanswered: 1}}, Received: ninep.Traffic{Placed: 5}, Parked: 1})
	if len(sum.Calls) != 2 || sum.Calls[0].Errors != 2 || sum.Calls[1].Unanswered != 1 {
		t.Errorf("calls: %+v", sum.Calls)
	}
	if sum.Sent != (ninep.Traffic{Placed: 2, Copied: 4}) || sum.Received != (ninep.Traffic{Placed: 5}) ||
		sum.InFlight != (ninep.Load{Calls: 2, Bytes: 20}) || sum.Parked != 1 || sum.Fids != 6 || sum.Spoiled != 8 {
		t.Errorf("%+v", sum)
	}
}
