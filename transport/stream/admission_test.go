package stream_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

func TestAStreamingFlowStarvesNobody(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{Slots: 4})
	d := newDone()
	greedy, modest := transport.NewFlow(0), transport.NewFlow(0)
	for tag := range uint16(500) {
		call := readCall(d, tag, 4096)
		call.Flow = greedy
		c.Submit(call)
	}
	const tag = 1000
	late := clunkCall(d, tag)
	late.Flow = modest
	c.Submit(late)
	for n := 0; ; n++ {
		f := p.next()
		if f.tag == tag {
			if n > 5 {
				t.Errorf("the call went out behind %d others, 4 were in flight before it", n)
			}
			return
		}
		p.replyPayload(f.tag, nil)
	}
}

// While one flow streams, the small calls of another reach the server at once,
// with no more of the stream ahead of them than is shared.
func TestSmallCallsPassAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes: what is shared does not grow
		const size, shared = 4096, 4
		c, p := connect(t, plainPair, stream.Options{Shared: shared * size})
		d := newDone()
		greedy, modest := transport.NewFlow(0), transport.NewFlow(0)
		submit := func(tag uint16, flow *transport.Flow, n int) {
			call := readCall(d, tag, n)
			call.Flow = flow
			go c.Submit(call) // the pipe has no room
		}
		const small = 1000
		submit(0, greedy, size)
		submit(small, modest, 1)
		var streamed []uint16
		for len(streamed) < shared {
			if f := p.next(); f.tag == small {
				p.replyPayload(small, nil)
				for tag := range uint16(200) {
					submit(tag+1, greedy, size)
				}
			} else {
				streamed = append(streamed, f.tag)
			}
		}
		for range 50 {
			submit(small, modest, 1)
			if f := p.next(); f.tag != small {
				t.Fatalf("the server got tag %d before the small call, with %d of the stream to do", f.tag, len(streamed))
			}
			p.replyPayload(small, nil)
			p.replyPayload(streamed[0], nil)
			streamed = append(streamed[1:], p.next().tag)
		}
	})
}

func TestUrgentCallPassesAServerThatDoesNotAnswer(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{Slots: 2, Reserve: 1})
	d := newDone()
	for tag := range uint16(10) {
		c.Submit(readCall(d, tag, 100))
	}
	p.next()
	p.next()
	flush := request(d, tflush, 50, []byte{0, 0}, nil, 0)
	flush.Urgent = true
	c.Submit(flush)
	if f := p.next(); f.kind != tflush {
		t.Fatalf("the server got type %d", f.kind)
	}
	p.reply(rflush, 50)
	if got := <-d; got != flush {
		t.Error("another call completed")
	}
}

// An urgent call passes those that wait for a socket, which has no room for all of the first, too.
func TestUrgentCallPassesAFullSocket(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	for tag := range uint16(8) {
		c.Submit(writeCall(d, tag, make([]byte, 4<<20)))
	}
	clunk := clunkCall(d, 50)
	clunk.Urgent = true
	c.Submit(clunk)
	p.next()
	if f := p.next(); f.kind != tclunk {
		t.Errorf("the server got tag %d before the urgent call", f.tag)
	}
}

func TestFlowLimitBoundsWhatTheServerSees(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	flow := transport.NewFlow(8192)
	for tag := range uint16(3) {
		call := readCall(d, tag, 4096)
		call.Flow = flow
		c.Submit(call)
	}
	c.Submit(clunkCall(d, 9))
	for _, want := range []uint16{0, 1, 9} {
		if f := p.next(); f.tag != want {
			t.Fatalf("the server got tag %d, want %d", f.tag, want)
		}
	}
	p.replyPayload(1, nil)
	if f := p.next(); f.tag != 2 {
		t.Errorf("the server got tag %d, want 2", f.tag)
	}
}

func TestTenThousandCallsThroughTwoSlots(t *testing.T) {
	const n = 10_000
	c, p := connect(t, unixPair, stream.Options{Slots: 2, Window: 1000})
	go func() {
		for f, err := p.read(); err == nil; f, err = p.read() {
			p.replyPayload(f.tag, make([]byte, 100))
		}
	}()
	d := newDone()
	var wg sync.WaitGroup
	for g := range 10 {
		wg.Go(func() {
			flow := transport.NewFlow(100)
			for i := range n / 10 {
				call := readCall(d, uint16(g*n/10+i), 100)
				call.Flow = flow
				c.Submit(call)
			}
		})
	}
	seen := map[uint16]bool{}
	for range n {
		call := <-d
		if call.Err != nil || call.N != 100 || seen[call.Tag] {
			t.Fatalf("tag %d: N %d, error %v, seen %v", call.Tag, call.N, call.Err, seen[call.Tag])
		}
		seen[call.Tag] = true
	}
	wg.Wait()
}

func TestWithdraw(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{Slots: 1})
	d := newDone()
	sent, taken, next := clunkCall(d, 1), clunkCall(d, 2), clunkCall(d, 3)
	for _, call := range []*transport.Call{sent, taken, next} {
		c.Submit(call)
	}
	p.next()
	if c.Withdraw(sent) {
		t.Fatal("a call was taken back that the server has")
	}
	if c.Withdraw(clunkCall(d, 2)) {
		t.Fatal("a call was taken back that was never submitted")
	}
	if !c.Withdraw(taken) {
		t.Fatal("a call that waits was not given back")
	}
	if c.Withdraw(taken) {
		t.Fatal("a call was taken back twice")
	}
	p.reply(rclunk, 1)
	if f := p.next(); f.tag != 3 {
		t.Fatalf("the server got tag %d, want 3", f.tag)
	}
	p.reply(rclunk, 3)
	if a, b := <-d, <-d; a != sent || b != next {
		t.Error("other calls completed than those that were sent")
	}
	c.Submit(taken)
	if f := p.next(); f.tag != 2 {
		t.Errorf("the server got tag %d, want the one taken back and submitted again", f.tag)
	}
}

// A call that was admitted but waits for the socket can be had back too, and
// makes room.
func TestWithdrawBehindAFullSocket(t *testing.T) {
	const size = 4 << 20
	c, p := connect(t, unixPair, stream.Options{Window: 2 * size})
	d := newDone()
	stuck, taken, waits := writeCall(d, 1, make([]byte, size)), writeCall(d, 2, make([]byte, size)), clunkCall(d, 3)
	next := writeCall(d, 4, make([]byte, size))
	for _, call := range []*transport.Call{stuck, taken, waits, next} {
		c.Submit(call)
	}
	if c.Withdraw(stuck) {
		t.Fatal("a call was taken back of which the server has a part")
	}
	if !c.Withdraw(taken) {
		t.Fatal("a call of which nothing was sent was not given back")
	}
	for _, want := range []uint16{1, 3, 4} {
		if f := p.next(); f.tag != want {
			t.Fatalf("the server got tag %d, want %d", f.tag, want)
		}
	}
}
