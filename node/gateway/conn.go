package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// conn is a client's connection. One goroutine reads it, and each request has one that answers it.
type conn struct {
	net  net.Conn
	in   *bufio.Reader
	open Open

	// Of the reader, which changes them while no request is being worked on.
	msize  uint32
	agreed bool // a Tversion was accepted

	slots    chan struct{}  // holds one for each request that the server is asked
	working  sync.WaitGroup // one for each request
	watching sync.WaitGroup // one for each tree

	replying sync.Mutex // a reply is being sent

	mu       sync.Mutex
	requests map[uint16]*request // by tag
	fids     map[ninep.FID]*fid
}

func newConn(nc net.Conn, open Open) *conn {
	return &conn{
		net: nc, in: bufio.NewReader(nc), open: open, msize: maxMsize,
		slots: make(chan struct{}, maxRequests), requests: map[uint16]*request{}, fids: map[ninep.FID]*fid{},
	}
}

// cut ends the connection. What is under way is answered to nobody.
func (c *conn) cut() { _ = c.net.Close() }

// receiveAll takes requests until the connection ends.
func (c *conn) receiveAll(ctx context.Context) error {
	for {
		r, err := c.receive()
		if err == nil {
			err = c.register(r)
		}
		if err != nil {
			return err
		}
		switch m := r.message.(type) {
		case *ninep.Tversion:
			c.version(r, m)
		case *ninep.Tflush:
			c.flush(r, m.OldTag)
		default:
			c.start(ctx, r)
		}
	}
}

// receive reads a message. An error ends the connection; what is wrong with the request alone is its err.
func (c *conn) receive() (*request, error) {
	var head [ninep.HeaderSize]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	h, err := ninep.ParseHeader(head[:])
	if err != nil {
		return nil, err
	}
	if h.Size > c.msize {
		return nil, fmt.Errorf("%w: %v of %d bytes where %d are agreed", ninep.ErrMalformed, h.Type, h.Size, c.msize)
	}
	r := &request{tag: h.Tag, kind: h.Type, body: make([]byte, h.Size-ninep.HeaderSize)}
	if _, err := io.ReadFull(c.in, r.body); err != nil {
		return nil, err
	}
	return r, r.decode()
}

// register takes the request's tag.
func (c *conn) register(r *request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.requests[r.tag] != nil:
		return fmt.Errorf("%w: %v with tag %d, which is in use", ninep.ErrMalformed, r.kind, r.tag)
	case len(c.requests) == maxTags:
		return fmt.Errorf("%w: more than %d requests", ninep.ErrMalformed, maxTags)
	}
	c.requests[r.tag] = r
	return nil
}

// version starts the conversation over (version(5)): what is under way is aborted, and every fid given back.
func (c *conn) version(r *request, m *ninep.Tversion) {
	c.abort()
	c.working.Wait()
	c.clear()
	c.agreed = false
	reply := &ninep.Rversion{Msize: min(m.Msize, maxMsize), Version: "unknown"}
	if m.Version == ninep.Version && m.Msize >= ninep.MinMsize {
		c.agreed, c.msize, reply.Version = true, reply.Msize, m.Version
	}
	r.answer(reply)
	if m.Msize < ninep.MinMsize {
		r.refuse(unix.EMSGSIZE)
	}
	c.complete(r)
}

// abort cancels all requests.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.requests {
		if r.cancel != nil {
			r.cancel()
		}
	}
}

// flush has the request with the old tag come to an end, after which r is answered (flush(5)).
func (c *conn) flush(r *request, old uint16) {
	r.answer(&ninep.Rflush{})
	c.mu.Lock()
	flushed := c.requests[old]
	found := flushed != nil && flushed != r
	if found {
		flushed.flushes = append(flushed.flushes, r)
	}
	c.mu.Unlock()
	switch {
	case !found:
		c.complete(r)
	case flushed.cancel != nil: // that of a Tflush is nil
		flushed.cancel()
	}
}

// start takes the request's places at its fids, and has it worked on. It does not wait: a Tflush may be what comes next.
func (c *conn) start(ctx context.Context, r *request) {
	if !c.agreed && r.err == nil {
		r.err = unix.EPROTO
	}
	if r.err == nil {
		r.err = c.claim(r)
	}
	ctx, r.cancel = context.WithCancel(ctx)
	c.working.Go(func() {
		defer r.cancel()
		c.work(ctx, r)
	})
}

// work answers a request.
func (c *conn) work(ctx context.Context, r *request) {
	for _, h := range r.holds {
		if h.ready != nil {
			<-h.ready
		}
	}
	err := r.err
	if err == nil {
		err = c.serveInTurn(ctx, r)
	}
	if err != nil {
		c.fail(ctx, r, err)
	}
	c.leave(r)
	c.complete(r)
}

// serveInTurn serves a request when fewer than maxRequests are being served. What gives a fid back does not wait, and heeds no flush.
func (c *conn) serveInTurn(ctx context.Context, r *request) error {
	if roleOf(r.message) != end {
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return c.serve(ctx, r)
}

// complete sends the request's reply, if it has one, and those of the flushes of it. Its tag is free when the client has the
// reply, and not found by a flush any more when that is to be answered behind it.
func (c *conn) complete(r *request) {
	c.replying.Lock()
	defer c.replying.Unlock()
	c.mu.Lock()
	replies := c.conclude(nil, r)
	c.mu.Unlock()
	// Where no deadline can be set nothing can be sent either.
	_ = c.net.SetWriteDeadline(time.Now().Add(replyTime))
	if _, err := replies.WriteTo(c.net); err != nil {
		c.cut()
	}
}

// conclude frees the tags of the request and of its flushes, and adds their replies. The caller holds c.mu.
func (c *conn) conclude(replies net.Buffers, r *request) net.Buffers {
	delete(c.requests, r.tag)
	if r.reply != nil {
		replies = append(replies, r.reply)
	}
	for _, f := range r.flushes {
		replies = c.conclude(replies, f)
	}
	return replies
}
