package ninetest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

var flushRules = []rule{
	{"unknown-tag-is-answered", flushUnknown},
	{"comes-after-the-reply-it-flushed", flushOrder},
	{"of-a-flush-and-of-itself", flushFlush},
	{"cancelled-calls-leak-no-fids-and-tags", flushLeaks},
	{"cancelled-writes-are-whole-or-not-at-all", flushWrites},
}

func flushUnknown(s *scope) {
	w := s.wire()
	for _, tag := range []uint16{100, 0, 0xfffe} {
		if reply := w.say(&ninep.Tflush{OldTag: tag}); refusal(reply) != 0 {
			s.tb.Errorf("Tflush of tag %d: %+v", tag, reply)
		}
	}
	w.must(s.tstat(dirFid))
}

// flushOrder: once Rflush is here no reply to the old tag may follow, so that
// the tag can be used again (flush(5)).
func flushOrder(s *scope) {
	s.file("f", string(random(30, 60<<10)))
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(s.topen(9, ninep.OpenReadOnly))
	for range 200 {
		read := w.start(1, &ninep.Tread{Fid: 9, Count: 60 << 10})
		flush := w.start(2, &ninep.Tflush{OldTag: 1})
		if reply := flush.wait(); refusal(reply) != 0 {
			s.tb.Fatalf("Tflush: %+v", reply)
		}
		read.flushed()
		w.must(s.tstat(9))
	}
}

// flushed takes the tag back after Rflush: a reply that comes after all would
// be a protocol violation to the transport.
func (p *pending) flushed() {
	s := p.w.s
	s.tb.Helper()
	p.w.conn.Forget(p.call.Tag)
	<-p.done
	if err := p.call.Err; err != nil && !errors.Is(err, transport.ErrForgotten) && !errors.Is(err, transport.ErrNoReply) {
		s.tb.Fatalf("flushed call: %v", err)
	}
}

func flushFlush(s *scope) {
	w := s.wire()
	w.start(1, &ninep.Tflush{OldTag: 1}).wait()
	for range 100 {
		first, second := w.start(1, &ninep.Tflush{OldTag: 50}), w.start(2, &ninep.Tflush{OldTag: 1})
		second.wait()
		first.flushed()
	}
	w.must(s.tstat(dirFid))
}

// flushLeaks cancels thousands of calls at every point of their lives.
func flushLeaks(s *scope) {
	var t *tap
	o := s.client(ninep.Config{Dial: func(ctx context.Context) (transport.Conn, error) {
		conn, err := s.server.Dial(ctx)
		if err != nil {
			return nil, err
		}
		t = newTap(conn)
		return t, nil
	}})
	s.file("f", string(random(31, 200<<10)))
	before := len(t.fids())
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() { cancelCalls(s, o.dir, worker) })
	}
	workers.Wait()
	s.eventually("fids and tags come back", func() bool { return len(t.fids()) == before && t.busy() == 0 })
	t.forgetTags()
	for range 100 {
		o.attr(o.dir)
	}
	if highest := t.highestTag(); highest > 10 {
		s.tb.Errorf("one caller uses tag %d: tags do not come back", highest)
	}
}

// cancelCalls walks, opens, reads and clunks with a context that ends somewhere in between.
func cancelCalls(s *scope, dir *ninep.Fid, worker int) {
	buf := make([]byte, 200<<10)
	for i := range 150 {
		ctx, cancel := context.WithTimeout(s.ctx, time.Duration(i*(worker+1))*5*time.Microsecond)
		if err := walkAndRead(ctx, s.ctx, dir, buf); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			s.tb.Errorf("cancelled: %v", err)
		}
		cancel()
	}
}

func walkAndRead(ctx, clunkCtx context.Context, dir *ninep.Fid, buf []byte) (err error) {
	f, err := dir.Walk(ctx, "f")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Clunk(clunkCtx)) }()
	if err := f.Open(ctx, unix.O_RDONLY); err != nil {
		return err
	}
	_, err = f.Read(ctx, buf, 0)
	return err
}

// flushWrites: what a cancelled write says it wrote is there.
func flushWrites(s *scope) {
	o := s.client(ninep.Config{Dial: s.server.Dial, Msize: wireMsize})
	f := o.create("f")
	for round := range 20 {
		data := bytes.Repeat([]byte{byte(round + 1)}, 8*wireMsize)
		ctx, cancel := context.WithTimeout(s.ctx, time.Duration(round)*100*time.Microsecond)
		n, err := f.Write(ctx, data, 0)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			s.tb.Fatalf("cancelled write: %v", err)
		}
		if err == nil && n != len(data) {
			s.tb.Fatalf("wrote %d bytes of %d", n, len(data))
		}
		o.reads(f, data[:n], 0)
	}
}

// eventually waits until a condition that needs no more calls holds.
func (s *scope) eventually(what string, holds func() bool) {
	s.tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.tb.Fatalf("never: %s", what)
		}
	}
}
