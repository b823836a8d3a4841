package ninep_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// held collects requests of one type that the gate keeps from the server, and the flushes that come for them.
type held struct {
	mu      sync.Mutex
	pair    *pair
	tags    []uint16
	frames  []ninep.Message
	flushes map[uint16]uint16 // by old tag
	all     []uint16          // tags of every request since
}

// hold keeps the requests of this type, and every Tflush.
func (g *gate) hold(of ninep.MsgType) *held {
	h := &held{flushes: map[uint16]uint16{}}
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.pair = p
		h.all = append(h.all, tag)
		if f, ok := m.(*ninep.Tflush); ok {
			h.flushes[f.OldTag] = tag
			return false
		}
		if m.Type() == of {
			h.tags = append(h.tags, tag)
			h.frames = append(h.frames, m)
			return false
		}
		return true
	})
	return h
}

// waitFlush waits for the Tflush of the first request held, and returns both tags.
func (h *held) waitFlush(t *testing.T) (tag, flush uint16) {
	t.Helper()
	eventually(t, "Tflush", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		var ok bool
		if len(h.tags) > 0 {
			tag = h.tags[0]
			flush, ok = h.flushes[tag]
		}
		return ok
	})
	return tag, flush
}

func (h *held) first() ninep.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frames[0]
}

// cancelled checks the error of a cancelled call.
func cancelled(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) || !errors.Is(err, unix.EINTR) {
		t.Errorf("cancelled call: %v", err)
	}
}

// walkHeld starts a walk that the gate holds, cancels it when it is there, and returns when the caller is free.
func walkHeld(t *testing.T, g *gate, root *ninep.Fid) (h *held, tag, flush uint16) {
	t.Helper()
	h = g.hold(ninep.TypeTwalk)
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan error)
	go func() { _, err := root.Walk(ctx); done <- err }()
	eventually(t, "Twalk", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.tags) > 0 })
	cancel()
	cancelled(t, <-done)
	tag, flush = h.waitFlush(t)
	return h, tag, flush
}

// TestFlushRests: a cancelled call's tag is not used again before Rflush, and its fid not before Rclunk.
func TestFlushRests(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	h, tag, flush := walkHeld(t, g, root)
	newFid := h.first().(*ninep.Twalk).NewFid
	for range 20 {
		_, err := root.Getattr(testContext(t), ninep.AttrBasic)
		ok(t, err)
	}
	h.mu.Lock()
	if n := len(slices.DeleteFunc(slices.Clone(h.all), func(v uint16) bool { return v != tag })); n != 1 {
		t.Errorf("tag %d was used %d times before Rflush", tag, n)
	}
	h.mu.Unlock()

	clunked := make(chan ninep.FID, 1)
	seen := make(chan uint16, 100)
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		seen <- tag
		if c, ok := m.(*ninep.Tclunk); ok {
			clunked <- c.Fid
		}
		return true
	})
	h.pair.reply(flush, &ninep.Rflush{})
	if f := <-clunked; f != newFid {
		t.Errorf("clunked fid %d, the flushed walk's was %d", f, newFid)
	}
	for range 3 {
		_, err := root.Getattr(testContext(t), ninep.AttrBasic)
		ok(t, err)
	}
	var tags []uint16
	for len(seen) > 0 {
		tags = append(tags, <-seen)
	}
	if !slices.Contains(tags, tag) {
		t.Errorf("tag %d did not come back after Rflush: %v", tag, tags)
	}
}

// TestFlushAnswered: an answer that comes before Rflush counts. It has bound a fid, which must be given back.
func TestFlushAnswered(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	h, tag, flush := walkHeld(t, g, root)
	walk := h.first().(*ninep.Twalk)
	clunked := make(chan ninep.FID, 1)
	g.intercept(func(_ *pair, _ uint16, m ninep.Message) bool {
		if c, ok := m.(*ninep.Tclunk); ok {
			clunked <- c.Fid
		}
		return true
	})
	h.pair.request(tag, walk)
	if f := <-clunked; f != walk.NewFid {
		t.Errorf("clunked fid %d, the walk bound %d", f, walk.NewFid)
	}
	h.pair.reply(flush, &ninep.Rflush{})
	n, err := root.Walk(testContext(t))
	ok(t, err)
	ok(t, n.Clunk(testContext(t)))
}

// TestLateReplyIsNobodys: the reply to a cancelled call may be decoded when the caller has gone.
func TestLateReplyIsNobodys(t *testing.T) {
	var cancel atomic.Pointer[context.CancelFunc]
	late := func(r ninep.Message) any { go (*cancel.Load())(); return r }
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		switch m.(type) {
		case *ninep.Tgetattr:
			return late(&ninep.Rgetattr{Attr: ninep.Attr{Valid: ninep.AttrSize, Size: 1}})
		case *ninep.Tgetlock:
			return late(&ninep.Rgetlock{ClientID: "another"})
		case *ninep.Tlock:
			return late(&ninep.Rlock{Status: ninep.LockBlocked})
		case *ninep.Tstatfs:
			return late(&ninep.Rstatfs{Statfs: ninep.Statfs{Blocks: 1}})
		case *ninep.Tmkdir:
			return late(&ninep.Rmkdir{QID: rootQID})
		}
		return pass
	})
	for name, call := range map[string]func(context.Context) (zero bool, err error){
		"getattr": func(ctx context.Context) (bool, error) {
			a, err := root.Getattr(ctx, ninep.AttrSize)
			return a == ninep.Attr{}, err
		},
		"getlock": func(ctx context.Context) (bool, error) {
			l, err := root.GetLock(ctx, ninep.Lock{})
			return l == ninep.Lock{}, err
		},
		"lock": func(ctx context.Context) (bool, error) {
			status, err := root.Lock(ctx, ninep.Lock{})
			return status == 0, err
		},
		"statfs": func(ctx context.Context) (bool, error) {
			s, err := root.Statfs(ctx)
			return s == ninep.Statfs{}, err
		},
		"mkdir": func(ctx context.Context) (bool, error) {
			qid, err := root.Mkdir(ctx, "d", 0o700, 0)
			return qid == ninep.QID{}, err
		},
	} {
		for range 200 {
			ctx, stop := context.WithCancel(testContext(t))
			cancel.Store(&stop)
			if zero, err := call(ctx); err != nil && !zero {
				t.Errorf("%s: an answer beside %v", name, err)
			}
		}
	}
}

// TestFlushKeepsMemory: a cancelled read returns when its buffer is nobody else's any more, and not before.
func TestFlushKeepsMemory(t *testing.T) { inBothModes(t, flushKeepsMemory) }

func flushKeepsMemory(t *testing.T, z ninep.ZeroCopy) {
	g := newGate(t)
	g.attach.ZeroCopy = z
	_, root := g.open(ninep.Config{Msize: 8 << 10})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	for _, answered := range []bool{false, true} {
		h := g.hold(ninep.TypeTread)
		short, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		buf := make([]byte, 100)
		var n int
		go func() { var err error; n, err = f.Read(short, buf, 0); done <- err }()
		eventually(t, "Tread", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.tags) > 0 })
		cancel()
		tag, flush := h.waitFlush(t)
		select {
		case err := <-done:
			t.Fatalf("the read returned before Rflush: %v", err)
		default:
		}
		if answered {
			h.pair.reply(tag, &ninep.Rread{Data: []byte("these came in time")})
		}
		h.pair.reply(flush, &ninep.Rflush{})
		err := <-done
		cancelled(t, err)
		if want := map[bool]int{true: 18}[answered]; n != want {
			t.Errorf("%d bytes, want %d", n, want)
		}
		g.intercept(nil)
	}
}

// TestCancelManyParts cancels a read in many messages while some of them are answered.
func TestCancelManyParts(t *testing.T) { inBothModes(t, cancelManyParts) }

func cancelManyParts(t *testing.T, z ninep.ZeroCopy) {
	g := newGate(t)
	g.attach.ZeroCopy = z
	_, root := g.open(ninep.Config{Msize: 4096})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	want := pattern(1 << 20)
	must(f.Write(ctx, want, 0))(t)
	for i := range 50 {
		done := make(chan struct{})
		io := &ninep.IO{Buf: make([]byte, len(want)), Done: func(*ninep.IO) { close(done) }}
		before := g.count(ninep.TypeTread)
		f.StartRead(io)
		eventually(t, "some reads", func() bool { return g.count(ninep.TypeTread) >= before+i })
		io.Cancel()
		io.Cancel()
		<-done
		if io.N < len(want) {
			cancelled(t, io.Err)
		} else if io.Err != nil {
			t.Errorf("all read, and %v", io.Err)
		}
		if !slices.Equal(io.Buf[:io.N], want[:io.N]) {
			t.Errorf("wrong bytes among the %d", io.N)
		}
	}
	if n, err := f.Read(ctx, make([]byte, len(want)), 0); n != len(want) || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
}
