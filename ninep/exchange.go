package ninep

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Room for replies: every reply but these and Rread's payload is shorter than replyRoom, an error's text being the longest (see
// ErrorRoom) and then Rwalk of 16 names with 217 bytes. Rreadlink and Rgetlock carry a string from the server, and Rstat several,
// of which none but a symbolic link's target is longer than a name.
const (
	replyRoom     = ErrorRoom
	statRoom      = 8 << 10
	longReplyRoom = HeaderSize + 64<<10 + 32
)

// request is a message to be sent, and what is to become of its reply.
type request struct {
	message Message
	// reply is what the reply is decoded into; nil for one without a body, or one whose data goes to in. After an error it
	// is not the sender's to look at: the reply to a cancelled request may be decoded at any time.
	reply Message
	in    []byte  // where the data of Rread or Rreaddir goes, as many bytes as asked for
	given bool    // in is the link's: who stops waiting leaves it behind
	count *int    // is told, before settle, how many bytes of in the reply filled; nil: the sender is
	out   []byte  // the data of Twrite
	fids  [2]*Fid // those that the message names; they stay bound until its outcome is known
	stays bool    // a cancelled sender waits for the outcome, as whoever lends memory does
	alone bool    // nobody waits for the outcome: settle is told, also when it cannot be sent

	// settle is told the outcome once, before the sender is: it applies what the server did to the client's
	// books, also for a sender that has gone. It runs before the link's Lost is closed and must not block.
	settle func(error)
}

// exchange is a request on its way.
type exchange struct {
	call
	request request
	head    []byte // the memory for it, unless a buffer is
	n       int    // bytes of request.in that the reply filled
	err     error
	done    chan struct{} // has one element when the outcome is known and the sender still there
	strand  Strand        // is to be told besides; nil: the sender has a goroutine to wait
	state   atomic.Uint32
	long    []byte
	short   [replyRoom]byte
}

// States of an exchange: whoever comes second, the sender who leaves or the reply, puts it back into the pool.
const (
	exchangeWaiting uint32 = iota
	exchangeDone
	exchangeLeft
)

var exchanges = sync.Pool{New: func() any {
	x := &exchange{done: make(chan struct{}, 1)}
	x.receiver = x
	return x
}}

// roundTrip sends a request over this link and waits for its reply. A cancelled context ends the wait at once, unless
// the request lends the caller's memory to the transport, not for good: then it ends when the memory has come back.
func (l *link) roundTrip(ctx context.Context, r request) error {
	_, err := l.fill(ctx, r)
	return err
}

// fill is roundTrip for a request that reads: it returns how many bytes of r.in the reply filled.
func (l *link) fill(ctx context.Context, r request) (int, error) {
	if l.dialect != DialectL {
		return l.translate(ctx, r)
	}
	return l.exchange(ctx, r)
}

// exchange is fill for a message of the link's own dialect.
func (l *link) exchange(ctx context.Context, r request) (int, error) {
	x, err := l.begin(ctx, r)
	if err != nil {
		return 0, err
	}
	return x.wait(ctx)
}

// exchangeAll sends requests of the link's own dialect together, waits for all replies but those to requests that are alone, and
// returns the errors.
func (l *link) exchangeAll(ctx context.Context, requests []request) []error {
	errs := make([]error, len(requests))
	sent := make([]*exchange, len(requests))
	calls := make([]*call, 0, len(requests))
	for i, r := range requests {
		if r.alone {
			calls = l.appendAlone(calls, r)
		} else if sent[i], errs[i] = l.prepare(ctx, r); sent[i] != nil {
			calls = append(calls, &sent[i].call)
		}
	}
	l.submitAll(calls)
	for i, x := range slices.Backward(sent) { // who has the last reply has all, as a rule
		if x != nil {
			_, errs[i] = x.wait(ctx)
		}
	}
	return errs
}

// begin sends a request. Its caller must wait for it.
func (l *link) begin(ctx context.Context, r request) (*exchange, error) {
	x, err := l.prepare(ctx, r)
	if err == nil {
		l.submit(&x.call)
	}
	return x, err
}

// appendAlone prepares a request that is alone.
func (l *link) appendAlone(calls []*call, r request) []*call {
	x, err := l.prepare(context.Background(), r)
	if err != nil {
		r.settle(err)
		return calls
	}
	x.state.Store(exchangeLeft)
	return append(calls, &x.call)
}

// prepare makes a request ready to be sent, which must come next.
func (l *link) prepare(ctx context.Context, r request) (*exchange, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := l.conn.Err(); err != nil {
		return nil, &linkError{reason: err, unsent: true}
	}
	if err := pinAll(r.fids); err != nil {
		return nil, err
	}
	x := exchanges.Get().(*exchange)
	head, err := l.dialect.Append(x.head[:0], 0, r.message)
	if err != nil {
		exchanges.Put(x)
		unpinAll(r.fids)
		return nil, err
	}
	x.head = head
	x.Head, x.In, x.Out, x.Inside, x.Flow, x.Bulk = head, r.in, nil, 0, nil, false
	x.Reply = x.room(r.message.Type())
	if f := r.fids[0]; f != nil {
		x.Flow = f.volume.options.Flow
	}
	if r.in != nil || r.out != nil {
		x.volume, x.Bulk = r.fids[0].volume, true
		x.lend(r)
	}
	x.canceled, x.request, x.strand = false, r, strandOf(ctx)
	x.state.Store(exchangeWaiting)
	return x, nil
}

// lend has the message carry the caller's memory, or what is copied from and to it.
func (x *exchange) lend(r request) {
	off := x.volume.options.ZeroCopy == ZeroCopyOff
	if r.out != nil {
		x.carry(r.out, !off)
	}
	if r.in != nil && off {
		x.receiveInside(len(r.in))
	}
}

// room returns the memory for the reply to a message of this type.
func (x *exchange) room(t MsgType) []byte {
	n := replyRoom
	switch t {
	case TypeTstat:
		n = statRoom
	case TypeTreadlink, TypeTgetlock:
		n = longReplyRoom
	}
	if n <= len(x.short) {
		return x.short[:]
	}
	if len(x.long) < n {
		x.long = make([]byte, n)
	}
	return x.long[:n:n]
}

// wait waits for the outcome, and returns how many bytes of request.in were filled.
func (x *exchange) wait(ctx context.Context) (int, error) {
	if x.strand != nil && !x.strand.Left() {
		x.park(ctx)
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		if x.link.cancel(&x.call) {
			x.settled(errUnsent)
			x.recycle()
			return 0, ctx.Err()
		}
		stays := x.request.stays || x.request.in != nil && !x.request.given || x.request.out != nil
		if !stays && x.state.CompareAndSwap(exchangeWaiting, exchangeLeft) {
			return 0, ctx.Err()
		}
		Block(ctx)
		<-x.done
	}
	n, err := x.n, x.err
	x.recycle()
	if errors.Is(err, errForgotten) || errors.Is(err, errUnsent) {
		err = ctx.Err()
	}
	return n, err
}

// received implements [receiver].
func (x *exchange) received() {
	x.n, x.err = x.decode()
	x.freeBuffer()
	x.settled(x.err)
	strand := x.strand
	if x.state.CompareAndSwap(exchangeWaiting, exchangeDone) {
		x.done <- struct{}{}
		if strand != nil {
			strand.Unpark()
		}
		return
	}
	x.recycle()
}

func (x *exchange) decode() (int, error) {
	if x.request.in != nil {
		n, err := x.payload(x.request.in)
		if x.request.count != nil {
			*x.request.count = n
		}
		return n, err
	}
	body, err := x.answer()
	if err != nil {
		return 0, err
	}
	if x.request.reply == nil {
		if len(body) != 0 {
			return 0, x.malformed("%w: %d bytes in an empty reply", ErrMalformed, len(body))
		}
		return 0, nil
	}
	if err := x.link.dialect.DecodeBody(body, x.request.reply); err != nil {
		return 0, x.malformed("%w", err)
	}
	return 0, nil
}

func (x *exchange) settled(err error) {
	if x.request.settle != nil {
		x.request.settle(err)
	}
	unpinAll(x.request.fids)
}

func (x *exchange) recycle() {
	x.freeBuffer()
	x.request, x.strand, x.err, x.n = request{}, nil, nil, 0
	x.volume, x.Head, x.In, x.Out, x.Reply, x.Flow = nil, nil, nil, nil, nil, nil
	exchanges.Put(x)
}
