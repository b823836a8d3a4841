package transport_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

func read(f *transport.Flow, n int) *transport.Call {
	return &transport.Call{Flow: f, In: make([]byte, n)}
}

// popAll admits whatever there is room for.
func popAll(w *transport.Window) (calls []*transport.Call) {
	for c := w.Pop(); c != nil; c = w.Pop() {
		calls = append(calls, c)
	}
	return calls
}

func pushAll(w *transport.Window, calls ...*transport.Call) {
	for _, c := range calls {
		w.Push(c)
	}
}

func TestWindowKeepsToSlotsAndBytes(t *testing.T) {
	for _, test := range []struct {
		name    string
		options transport.WindowOptions
		sizes   []int
		want    int
	}{
		{"slots", transport.WindowOptions{Slots: 2}, []int{1, 1, 1}, 2},
		{"one slot at least", transport.WindowOptions{}, []int{1, 1}, 1},
		{"bytes", transport.WindowOptions{Slots: 9, Bytes: 100}, []int{50, 50, 1}, 2},
		{"a call without payload takes no bytes", transport.WindowOptions{Slots: 9, Bytes: 100}, []int{100, 0, 0}, 3},
		{"a call larger than the window goes alone", transport.WindowOptions{Slots: 9, Bytes: 100}, []int{101, 1}, 1},
		{"a large call's turn is not taken by small ones", transport.WindowOptions{Slots: 9, Bytes: 100}, []int{60, 60, 1}, 1},
		{"the reserve is for urgent calls", transport.WindowOptions{Slots: 1, Reserve: 5}, []int{1, 1}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := transport.NewWindow(test.options)
			for _, n := range test.sizes {
				w.Push(read(nil, n))
			}
			if got := len(popAll(w)); got != test.want {
				t.Errorf("%d calls in flight, want %d", got, test.want)
			}
		})
	}
}

func TestWindowChargesTheLargerPayload(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 9, Bytes: 100})
	pushAll(w, &transport.Call{Out: make([]byte, 60), In: make([]byte, 4)}, read(nil, 41))
	if got := len(popAll(w)); got != 1 {
		t.Errorf("%d calls in flight, want the first alone", got)
	}
	w = transport.NewWindow(transport.WindowOptions{Slots: 9, Bytes: 100})
	pushAll(w, &transport.Call{Inside: 60}, read(nil, 41))
	if got := len(popAll(w)); got != 1 {
		t.Errorf("with its payload inside: %d calls in flight, want the first alone", got)
	}
}

func TestWindowServesFlowsInTurn(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 1})
	greedy, modest := transport.NewFlow(0), transport.NewFlow(0)
	for range 100 {
		w.Push(read(greedy, 1<<20))
	}
	first := w.Pop()
	pushAll(w, read(modest, 1), read(modest, 1))

	var order []*transport.Flow
	for c := first; len(order) < 5; c = w.Pop() {
		order = append(order, c.Flow)
		w.Release(c)
	}
	want := []*transport.Flow{greedy, modest, greedy, modest, greedy}
	for i := range want {
		if order[i] != want[i] {
			t.Fatalf("call %d is of the wrong flow: two calls behind a hundred must go every other time", i)
		}
	}
}

func TestFlowLimitHoldsUpItsOwnFlowOnly(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 99})
	small, other := transport.NewFlow(100), transport.NewFlow(0)
	pushAll(w, read(small, 60), read(small, 60), read(small, 1), read(other, 1000), read(nil, 1000))
	calls := popAll(w)
	if len(calls) != 3 || calls[0].Flow != small || calls[1].Flow != other || calls[2].Flow != nil {
		t.Fatalf("%d calls in flight, want one of each flow", len(calls))
	}
	w.Release(calls[0])
	if got := len(popAll(w)); got != 2 {
		t.Errorf("%d calls went once there was room, want both", got)
	}
}

func TestFlowAdmitsACallLargerThanItsLimitAlone(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 99})
	f := transport.NewFlow(100)
	pushAll(w, read(f, 1), read(f, 500), read(f, 1))
	for i := range 3 {
		calls := popAll(w)
		if len(calls) != 1 {
			t.Fatalf("step %d: %d calls in flight, want 1", i, len(calls))
		}
		w.Release(calls[0])
	}
}

// A flow whose calls are not answered leaves slots to others, whatever kind of
// calls they are. A connection's own calls have all of them.
func TestFlowLeavesSlots(t *testing.T) {
	for name, size := range map[string]int{"bulk": 1, "others": 0} {
		t.Run(name, func(t *testing.T) {
			w := transport.NewWindow(transport.WindowOptions{Slots: 8})
			stuck, other := transport.NewFlow(0), transport.NewFlow(0)
			for range 10 {
				c := read(stuck, size)
				c.Bulk = size > 0
				w.Push(c)
			}
			sent := popAll(w)
			if len(sent) != 6 {
				t.Fatalf("%d calls in flight, want three quarters of the slots", len(sent))
			}
			for range 10 {
				pushAll(w, read(other, 1), read(nil, 1))
			}
			for _, c := range popAll(w) {
				if c.Flow == stuck {
					t.Error("a call more of the flow that had its slots")
				}
				w.Release(c)
			}
			w.Release(sent[0])
			for c := w.Pop(); ; c = w.Pop() {
				if c == nil {
					t.Fatal("no call of the flow has gone, though it has a slot")
				}
				if c.Flow == stuck {
					break
				}
				w.Release(c)
			}
		})
	}
	w := transport.NewWindow(transport.WindowOptions{Slots: 8})
	for range 10 {
		w.Push(read(nil, 1))
	}
	if got := len(popAll(w)); got != 8 {
		t.Errorf("%d calls of the connection's own in flight, want one in each slot", got)
	}
}

// Calls without payload pass those that wait for the flow's bytes, and keep
// their order.
func TestBulkCallsHoldUpNoOthers(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 99, Bytes: 500})
	f := transport.NewFlow(100)
	bulk := func(n int) *transport.Call {
		c := read(f, n)
		c.Bulk = true
		return c
	}
	first, second, flush := bulk(600), bulk(1), bulk(0)
	pushAll(w, first, second, flush)
	one, two := read(f, 0), read(f, 0)
	pushAll(w, one, two)
	if calls := popAll(w); len(calls) != 3 || calls[0] != first || calls[1] != one || calls[2] != two {
		t.Fatalf("%d calls went, want the first bulk call and the two others in their order", len(calls))
	}
	w.Release(first)
	if calls := popAll(w); len(calls) != 2 || calls[0] != second || calls[1] != flush {
		t.Errorf("%d calls went after that, want the bulk calls in their order", len(calls))
	}
}

func TestSetLimitHoldsForTheNextCall(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 99})
	f := transport.NewFlow(1)
	pushAll(w, read(f, 1), read(f, 1), read(f, 1))
	calls := popAll(w)
	f.SetLimit(2)
	w.Release(calls[0])
	if got := len(popAll(w)); got != 2 {
		t.Errorf("%d calls in flight, want 2 after the limit was raised", got)
	}
}

// As soon as there is another flow, one that moves much has no more in flight
// than is shared, and the other's calls go at once.
func TestFlowsShareWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := transport.NewWindow(transport.WindowOptions{Slots: 99, Bytes: 1000, Shared: 20})
		greedy, modest := transport.NewFlow(0), transport.NewFlow(0)
		for range 100 {
			w.Push(read(greedy, 5))
		}
		sent := popAll(w)
		if len(sent) != 75 {
			t.Fatalf("%d calls in flight of the only flow, want all that it has slots for", len(sent))
		}
		for range 100 {
			w.Push(read(greedy, 5))
		}
		for len(sent) > 4 { // as many as are shared
			w.Release(sent[0])
			sent = sent[1:]
			w.Push(read(modest, 1))
			calls := popAll(w)
			if len(calls) != 1 || calls[0].Flow != modest {
				t.Fatalf("%d calls join %d in flight, want the modest flow's alone", len(calls), len(sent))
			}
			w.Release(calls[0])
		}
	})
}

// What is shared grows as long as calls do not wait for one another, because the
// peer is far away, and not when they do, however long that goes on.
func TestFlowsShareMoreOfAFarPeer(t *testing.T) {
	const each = 10 // bytes of a call
	for name, test := range map[string]struct {
		far         time.Duration // the way there and back
		work        time.Duration // on one call, one after the other
		least, most int           // calls in flight in the end
	}{
		"far":  {far: 100 * time.Millisecond, work: time.Millisecond, least: 20, most: 20},
		"near": {far: time.Millisecond, work: 10 * time.Millisecond, least: 2, most: 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := transport.NewWindow(transport.WindowOptions{Slots: 20, Bytes: 10000, Shared: 2 * each})
				flows := [2]*transport.Flow{transport.NewFlow(0), transport.NewFlow(0)}
				for i := range 100 {
					w.Push(read(flows[i%2], each))
				}
				type sent struct {
					*transport.Call
					back time.Time
				}
				var inFlight []sent
				var free time.Time // when the peer has done all that it has
				for begin := time.Now(); time.Since(begin) < time.Minute; {
					for _, c := range popAll(w) {
						free = maxTime(free, time.Now().Add(test.far/2)).Add(test.work)
						inFlight = append(inFlight, sent{c, free.Add(test.far / 2)})
					}
					first := inFlight[0]
					inFlight = inFlight[1:]
					time.Sleep(time.Until(first.back))
					w.Release(first.Call)
					w.Push(read(first.Flow, each))
				}
				if n := len(inFlight) + 1; n < test.least || n > test.most {
					t.Errorf("%d calls in flight, want %d to %d", n, test.least, test.most)
				}
			})
		})
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func TestUrgentPassesAFullWindow(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 2, Bytes: 10, Reserve: 1})
	f := transport.NewFlow(1)
	pushAll(w, read(f, 10), read(f, 10), read(f, 10), read(nil, 0), read(nil, 0))
	if got := len(popAll(w)); got != 2 {
		t.Fatalf("%d calls in flight, want 2", got)
	}
	flush := &transport.Call{Flow: f, Urgent: true}
	clunk := &transport.Call{Flow: f, Urgent: true}
	pushAll(w, flush, clunk)
	if c := w.Pop(); c != flush {
		t.Fatalf("got %v, want the first urgent call", c)
	}
	if c := w.Pop(); c != nil {
		t.Fatalf("the reserve of one slot took a second call")
	}
	w.Release(flush)
	if c := w.Pop(); c != clunk {
		t.Errorf("got %v, want the second urgent call", c)
	}
}

func TestRemoveTakesBackWhatWaits(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 99})
	f := transport.NewFlow(100)
	running, large, small := read(f, 60), read(f, 60), read(f, 10)
	pushAll(w, running, large, small)
	popAll(w)
	if w.Remove(running) {
		t.Error("a call in flight was taken back")
	}
	if !w.Remove(large) || w.Remove(large) {
		t.Error("a waiting call can be taken back once")
	}
	if c := w.Pop(); c != small {
		t.Errorf("got %v, want the call that waited behind the one taken back", c)
	}
	urgent := &transport.Call{Urgent: true}
	w.Push(urgent)
	if !w.Remove(urgent) || w.Pop() != nil {
		t.Error("a waiting urgent call can be taken back")
	}
	if w.Remove(read(nil, 1)) {
		t.Error("a call never queued was taken back")
	}
}

// A flow that was drained on one window serves on the next: a volume outlives
// its connection.
func TestFlowMovesToAnotherWindow(t *testing.T) {
	f := transport.NewFlow(10)
	for range 2 {
		w := transport.NewWindow(transport.WindowOptions{Slots: 1})
		a, b, c := read(f, 10), read(f, 10), read(f, 10)
		pushAll(w, a, b, c)
		if got := w.Pop(); got != a {
			t.Fatalf("got %v, want the first call", got)
		}
		if !w.Remove(b) || !w.Remove(c) {
			t.Fatal("waiting calls are not to be had back")
		}
		w.Release(a)
	}
}

// TestWindowBooksBalance runs random pushes, pops, releases and removals and
// checks the bounds after each, and that everything ends.
func TestWindowBooksBalance(t *testing.T) {
	const slots, bytes, reserve, limit = 5, 1000, 2, 300
	r := rand.New(rand.NewPCG(9, 2000))
	w := transport.NewWindow(transport.WindowOptions{Slots: slots, Bytes: bytes, Reserve: reserve})
	limited := transport.NewFlow(limit)
	flows := []*transport.Flow{nil, transport.NewFlow(limit), limited, transport.NewFlow(0)}
	waiting := map[*transport.Call]bool{}
	var flying []*transport.Call
	release := func() {
		i := r.IntN(len(flying))
		w.Release(flying[i])
		flying = append(flying[:i], flying[i+1:]...)
	}
	for range 20_000 {
		switch k := r.IntN(4); {
		case k == 0:
			c := read(flows[r.IntN(len(flows))], r.IntN(400))
			if c.Urgent = r.IntN(10) == 0; c.Urgent {
				c.In = nil
			}
			w.Push(c)
			waiting[c] = true
		case k == 1:
			if c := w.Pop(); c != nil {
				if !waiting[c] {
					t.Fatal("a call was admitted that does not wait")
				}
				delete(waiting, c)
				flying = append(flying, c)
			}
		case k == 2 && len(flying) > 0:
			release()
		case k == 3:
			for c := range waiting {
				if r.IntN(3) == 0 {
					if !w.Remove(c) {
						t.Fatal("a waiting call is not to be had back")
					}
					delete(waiting, c)
				}
				break
			}
		}
		if total, _ := inFlight(flying, nil); total > bytes || len(flying) > slots+reserve {
			t.Fatalf("%d calls with %d bytes in flight", len(flying), total)
		}
		if n, largest := inFlight(flying, limited); n > max(limit, largest) {
			t.Fatalf("%d bytes of a flow limited to %d in flight", n, limit)
		}
	}
	for len(waiting) > 0 || len(flying) > 0 {
		for _, c := range popAll(w) {
			delete(waiting, c)
			flying = append(flying, c)
		}
		if len(flying) == 0 {
			t.Fatalf("%d calls wait and nothing is in flight", len(waiting))
		}
		release()
	}
}

// inFlight sums the payload of a flow's calls, or of all, and finds the largest.
func inFlight(calls []*transport.Call, f *transport.Flow) (total, largest int) {
	for _, c := range calls {
		if f == nil || c.Flow == f {
			total += len(c.In)
			largest = max(largest, len(c.In))
		}
	}
	return total, largest
}

func TestWindowAllocatesNothing(t *testing.T) {
	w := transport.NewWindow(transport.WindowOptions{Slots: 1, Bytes: 1 << 20})
	a, b := read(transport.NewFlow(10), 10), read(transport.NewFlow(10), 10)
	allocs := testing.AllocsPerRun(100, func() {
		w.Push(a)
		w.Push(b)
		w.Release(w.Pop())
		w.Release(w.Pop())
	})
	if allocs != 0 {
		t.Errorf("%v allocations for two calls", allocs)
	}
}
