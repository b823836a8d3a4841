// Package posted is a transport that, as the driver of a virtio device does,
// posts the memory for a reply before it sends the request: room for the head of
// a payload, then the payload's own place, then what the longest error needs
// beyond. The peer's bytes are written there in order, with no look at what they
// are, so that the text of an error runs into the payload's place. The device's
// part is played by whatever serves 9P on a stream.
//
// It is for tests: they show what clients make of such memory without a
// device.
package posted

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/csi-9p/csi-9p/transport"
)

// maxMsize is the largest message.
const maxMsize = 4<<20 + 24

// Conn is a transport.Conn on a byte stream.
type Conn struct {
	stream net.Conn
	lost   chan struct{}

	mu     sync.Mutex
	more   sync.Cond // queue, or err
	msize  uint32
	queue  transport.Queue
	calls  map[uint16]*transport.Call // submitted, by tag
	err    error
	posted func(head, payload, tail []byte)
}

var _ transport.Conn = (*Conn)(nil)

// New makes a connection of c and owns it from then on. posted, unless nil, sees
// what each reply was written to before the client does.
func New(c net.Conn, posted func(head, payload, tail []byte)) *Conn {
	p := &Conn{stream: c, lost: make(chan struct{}), msize: maxMsize, calls: map[uint16]*transport.Call{}, posted: posted}
	p.more.L = &p.mu
	go p.run()
	return p
}

// Submit implements transport.Conn.
func (p *Conn) Submit(c *transport.Call) {
	c.N, c.Copied, c.Err = 0, 0, nil
	p.mu.Lock()
	err := p.err
	if err == nil && p.calls[c.Tag] != nil {
		err = fmt.Errorf("%w: tag %d is in use", transport.ErrInvalidCall, c.Tag)
	}
	if err == nil {
		p.calls[c.Tag] = c
		p.queue.Push(c)
		p.more.Signal()
	}
	p.mu.Unlock()
	if err != nil {
		c.Err = err
		c.Done.Complete(c)
	}
}

// Withdraw implements transport.Conn.
func (p *Conn) Withdraw(c *transport.Call) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil || !p.queue.Remove(c) {
		return false
	}
	delete(p.calls, c.Tag)
	return true
}

// Forget implements transport.Conn.
func (p *Conn) Forget(tag uint16) {
	p.mu.Lock()
	c := p.calls[tag]
	if p.err != nil {
		c = nil // run completes it
	}
	if c != nil {
		delete(p.calls, tag)
	}
	p.mu.Unlock()
	if c != nil {
		c.Err = transport.ErrForgotten
		c.Done.Complete(c)
	}
}

// Traits implements transport.Conn.
func (p *Conn) Traits() transport.Traits {
	return transport.Traits{Name: "posted", MaxMsize: maxMsize, ZeroCopy: true, Threshold: 1, Slots: transport.NoTag, Window: 1 << 30}
}

// SetMsize implements transport.Conn.
func (p *Conn) SetMsize(n uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.msize = min(n, maxMsize)
}

// Lost implements transport.Conn.
func (p *Conn) Lost() <-chan struct{} { return p.lost }

// Err implements transport.Conn.
func (p *Conn) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close implements transport.Conn.
func (p *Conn) Close() error {
	p.fail(transport.ErrClosed)
	return nil
}

// fail makes err the reason of the death, if it is the first.
func (p *Conn) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
		_ = p.stream.Close() // its error tells nothing that err does not
		p.more.Signal()
	}
}

// run moves messages until the stream ends, then completes what is left.
func (p *Conn) run() {
	var sender sync.WaitGroup
	sender.Go(p.send)
	for {
		if err := p.receive(); err != nil {
			p.fail(err)
			break
		}
	}
	sender.Wait()
	p.mu.Lock()
	calls := p.calls
	p.calls = nil
	for c := p.queue.Pop(); c != nil; c = p.queue.Pop() {
	}
	p.mu.Unlock()
	for _, c := range calls {
		c.N, c.Err = 0, p.err
		c.Done.Complete(c)
	}
	close(p.lost)
}

// send writes what is queued. Messages are copied first, so that a reply may end
// a call whose writing has not returned.
func (p *Conn) send() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for p.queue.Empty() && p.err == nil {
			p.more.Wait()
		}
		if p.err != nil {
			return
		}
		c := p.queue.Pop()
		message := append(append([]byte(nil), c.Head...), c.Out...)
		p.mu.Unlock()
		_, err := p.stream.Write(message)
		if err != nil {
			p.fail(fmt.Errorf("sending: %w", err))
		}
		p.mu.Lock()
	}
}

// receive takes one reply and writes it to the memory that was posted for it.
func (p *Conn) receive() error {
	var front [transport.HeadSize]byte
	if _, err := io.ReadFull(p.stream, front[:]); err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	size := binary.LittleEndian.Uint32(front[:])
	tag := binary.LittleEndian.Uint16(front[5:])
	p.mu.Lock()
	c, msize := p.calls[tag], p.msize
	delete(p.calls, tag) // nobody else ends the call from here on
	p.mu.Unlock()
	if c == nil {
		return fmt.Errorf("%w: a reply to tag %d, which is not outstanding", transport.ErrProtocol, tag)
	}
	err := fmt.Errorf("%w: a reply of %d bytes, msize is %d", transport.ErrProtocol, size, msize)
	if size >= transport.HeadSize && size <= msize {
		err = p.deliver(c, front[:], int(size))
	}
	c.Err = err
	if err != nil {
		c.N = 0
		p.fail(err)
	}
	c.Done.Complete(c)
	return err
}

// deliver writes a reply, which front begins, and gathers it.
func (p *Conn) deliver(c *transport.Call, front []byte, size int) error {
	head, tail := make([]byte, cap(c.Reply)), []byte(nil)
	if c.In != nil {
		head, tail = make([]byte, transport.PayloadHeadSize), make([]byte, c.Tail())
	}
	if size > len(head)+len(c.In)+len(tail) {
		return fmt.Errorf("%w: a reply of %d bytes where %d were posted", transport.ErrProtocol, size, len(head)+len(c.In)+len(tail))
	}
	left := size - copy(head, front)
	for _, room := range [][]byte{head[len(front):], c.In, tail} {
		n := min(left, len(room))
		if _, err := io.ReadFull(p.stream, room[:n]); err != nil {
			return errors.Join(errors.New("a reply that ends early"), err)
		}
		left -= n
	}
	if p.posted != nil {
		p.posted(head, c.In, tail)
	}
	return c.Gather(size, head, tail)
}
