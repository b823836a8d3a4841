package virtio_test

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/virtiotest"
)

// script is what the fuzzer has chosen, byte by byte; then zeroes.
type script struct {
	mu    sync.Mutex
	bytes []byte
	had   [8]atomic.Bool // the tags whose calls the device has had
}

func (s *script) next() byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bytes) == 0 {
		return 0
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return b
}

func (s *script) word() uint32 {
	return binary.LittleEndian.Uint32([]byte{s.next(), s.next(), s.next(), s.next()})
}

// hostile answers an element as the script says.
func hostile(d **virtiotest.Device, s *script, kept *[]*virtiotest.Element) func(*virtiotest.Element) {
	return func(e *virtiotest.Element) {
		s.had[e.Tag()].Store(true)
		switch s.next() % 9 {
		case 0: // as it should be
			prompt(e)
		case 1: // never
			*kept = append(*kept, e)
		case 2: // without a reply
			e.Return(0)
		case 3: // any head
			head := answer(e.Tag(), nil)
			binary.LittleEndian.PutUint32(head, uint32(s.next()))
			head[4] += s.next()
			head[7] = s.next()
			e.Write(head)
			e.Return(uint32(s.next()))
		case 4: // any element
			(*d).Hand(s.word(), s.word())
		case 5: // twice
			prompt(e)
			prompt(e)
		case 6: // an error, whole or not
			text := message(transport.TypeRerror, e.Tag(), int(s.next()), s.next(), 0, 'n', 'o')
			e.Write(append(text, make([]byte, 300)...))
			e.Return(uint32(s.next()))
		case 7: // an index of its own
			(*d).Jump(uint16(s.word()))
		case 8: // one of before
			if len(*kept) > 0 {
				prompt((*kept)[0])
			}
		}
	}
}

// tally counts how often each call is complete.
type tally struct {
	mu   sync.Mutex
	seen map[*transport.Call]int
}

func (c *tally) Complete(call *transport.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[call]++
}

// FuzzDevice: whatever a device answers, each call is complete once, with a reply that is one or an error, and when the
// connection has ended the device reaches nothing.
func FuzzDevice(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 2, 0, 8, 0})
	f.Add([]byte{3, 12, 0, 1, 12, 3, 11, 1, 255, 11})
	f.Add([]byte{4, 0, 0, 0, 0, 11, 0, 0, 0})
	f.Add([]byte{5, 0, 0})
	f.Add([]byte{6, 13, 2, 13, 6, 200, 190, 250})
	f.Add([]byte{7, 1, 0, 0, 0})
	f.Add([]byte{2, 2, 2, 2, 2, 2, 2, 2})
	f.Fuzz(func(t *testing.T, choices []byte) {
		s, counts := &script{bytes: choices}, &tally{seen: map[*transport.Call]int{}}
		var kept []*virtiotest.Element
		r := &rig{memory: new(transport.Memory)}
		o := devices["indirect"]
		if len(choices)%2 == 1 {
			o = devices["small and plain"]
		}
		o.Broken = func(err error) { t.Errorf("the driver broke the device: %v", err) }
		o.Handle = hostile(&r.Device, s, &kept)
		r.Device = virtiotest.New(o)
		conn, err := virtio.New(t.Context(), r.Device, virtio.Options{Memory: r.memory, MaxMsize: 128 << 10})
		if err != nil {
			t.Fatal(err)
		}
		if r.arena, err = transport.NewArena(transport.ArenaOptions{SlotSize: 64 << 10, Limit: 1 << 20, Memory: r.memory}); err != nil {
			t.Fatal(err)
		}
		calls := r.calls(t, counts)
		for _, call := range calls {
			conn.Submit(call)
		}
		conn.Forget(2)
		for end := time.Now().Add(5 * time.Millisecond); conn.Err() == nil && time.Now().Before(end); {
			time.Sleep(100 * time.Microsecond)
		}
		withdrawn := calls[3]
		if !conn.Withdraw(withdrawn) {
			withdrawn = nil
		} else if s.had[3].Load() {
			t.Error("a call that the device has had was taken back")
		}
		_ = conn.Close()
		<-conn.Lost()
		for _, call := range calls {
			if call == withdrawn && counts.seen[call] == 0 {
				continue
			}
			if n := counts.seen[call]; call == withdrawn || n != 1 || call.Err == nil && !proper(call) {
				t.Errorf("tag %d was complete %d times: %v, reply %x with %d bytes", call.Tag, n, call.Err, call.Reply, call.N)
			}
			if errors.Is(call.Err, transport.ErrNoReply) && !s.had[call.Tag].Load() {
				t.Errorf("tag %d, which the device has not had, is without a reply", call.Tag)
			}
			if errors.Is(call.Err, transport.ErrForgotten) && call.Tag != 2 {
				t.Errorf("tag %d was forgotten unasked", call.Tag)
			}
		}
		for _, e := range kept {
			if e.Write([]byte{1}) {
				t.Error("the device still reaches memory")
			}
		}
	})
}

// calls are one of each kind.
func (r *rig) calls(t testing.TB, done transport.Completer) []*transport.Call {
	calls := []*transport.Call{
		r.read(0, r.slot(t, 4096)), r.read(1, make([]byte, 4096)), r.read(2, r.slot(t, 20)), r.read(3, make([]byte, 100<<10)),
		r.write(4, r.slot(t, 50<<10)), r.write(5, make([]byte, 70<<10)), r.short(tclunk, 6, 0, 0, 0, 0), r.short(tflush, 7, 1, 0),
	}
	for _, c := range calls {
		c.Done = done
	}
	return calls
}

// proper reports whether a call's reply is one that it can have.
func proper(c *transport.Call) bool {
	if len(c.Reply) < transport.HeadSize || c.N > len(c.In) {
		return false
	}
	size, kind := binary.LittleEndian.Uint32(c.Reply), c.Reply[4]
	return (kind == c.Head[4]+1 || kind == transport.TypeRlerror || kind == transport.TypeRerror) && int(size) == len(c.Reply)+c.N
}
