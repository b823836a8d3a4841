package stream_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// occupied fills a connection with calls in every state: sent, half sent,
// waiting for the socket, waiting for a slot.
func occupied(c *stream.Conn, p *peer, d done) (n int) {
	c.Submit(readCall(d, 0, 100))
	p.next()
	for tag := uint16(1); tag < 20; tag++ {
		call := writeCall(d, tag, make([]byte, 1<<20))
		call.Urgent = tag == 5
		c.Submit(call)
	}
	return 20
}

func TestDeathCompletesEverythingOnce(t *testing.T) {
	for _, w := range wires {
		for _, test := range []struct {
			name string
			end  func(*stream.Conn, *peer)
			want error
		}{
			{"by the server", func(_ *stream.Conn, p *peer) { p.conn.Close() }, nil},
			{"by Close", func(c *stream.Conn, _ *peer) { c.Close() }, transport.ErrClosed},
			{"by a violation", func(_ *stream.Conn, p *peer) { p.write(make([]byte, 7)) }, transport.ErrProtocol},
		} {
			t.Run(w.name+" "+test.name, func(t *testing.T) {
				c, p := connect(t, w.pair, stream.Options{Slots: 10})
				d := newDone()
				n := occupied(c, p, d)
				if err := c.Err(); err != nil {
					t.Fatalf("Err of a living connection: %v", err)
				}
				test.end(c, p)
				<-c.Lost()
				if len(d) != n {
					t.Fatalf("%d of %d calls completed when Lost was closed", len(d), n)
				}
				seen := map[*transport.Call]bool{}
				for range n {
					call := <-d
					if seen[call] || call.Err == nil || test.want != nil && !errors.Is(call.Err, test.want) {
						t.Errorf("tag %d: %v, completed before: %v", call.Tag, call.Err, seen[call])
					}
					seen[call] = true
				}
				late := clunkCall(d, 50)
				c.Submit(late)
				if got := <-d; got != late || got.Err == nil || !errors.Is(c.Err(), got.Err) {
					t.Errorf("a call after the end: %v, the reason is %v", got.Err, c.Err())
				}
				if c.Withdraw(late) {
					t.Error("a call was taken back from a dead connection")
				}
				c.Forget(50)
				if err := c.Close(); err != nil {
					t.Errorf("Close of a dead connection: %v", err)
				}
				if test.want != nil && !errors.Is(c.Err(), test.want) {
					t.Errorf("Close changed the reason to %v", c.Err())
				}
			})
		}
	}
}

func TestServerThatClosesIsNamed(t *testing.T) {
	c, p := connect(t, tcpPair, stream.Options{})
	p.conn.Close()
	<-c.Lost()
	want := "tcp connection to " + p.conn.LocalAddr().String() + ": closed by the server: EOF"
	if got := c.Err(); !errors.Is(got, io.EOF) || got.Error() != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// lastRead is a connection whose bytes come beside the error that ends it, as a
// TLS connection's do when close_notify follows them.
type lastRead struct{ plainConn }

func (c lastRead) Read(p []byte) (int, error) {
	n, err := c.plainConn.Read(p)
	return n, errors.Join(err, io.EOF)
}

func TestReplyBesideTheEnd(t *testing.T) {
	c, p := connect(t, func(t testing.TB) (net.Conn, net.Conn) {
		client, server := plainPair(t)
		return lastRead{client.(plainConn)}, server
	}, stream.Options{})
	d := newDone()
	c.Submit(clunkCall(d, 1))
	p.next()
	p.reply(rclunk, 1)
	if call := <-d; call.Err != nil {
		t.Errorf("a reply that came with the end of the stream: %v", call.Err)
	}
}

// Callers that submit, withdraw and forget while the connection dies get every
// call back exactly once.
func TestDeathAmongCallers(t *testing.T) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			for round := range 20 {
				c, p := connect(t, w.pair, stream.Options{Slots: 8})
				go func() {
					for i := 0; ; i++ {
						f, err := p.read()
						if err != nil || i == 50*round {
							p.conn.Close()
							return
						}
						p.conn.Write(frame{rclunk, f.tag, nil}.bytes())
					}
				}()
				var submitted, completed atomic.Int64
				var wg sync.WaitGroup
				for g := range uint16(8) {
					wg.Go(func() {
						back := make(chan struct{}, 1)
						call := clunkCall(completer(func(*transport.Call) {
							completed.Add(1)
							back <- struct{}{}
						}), g)
						for i := 0; call.Err == nil; i++ {
							submitted.Add(1)
							c.Submit(call)
							if i%3 == 0 && c.Withdraw(call) {
								submitted.Add(-1)
								continue
							}
							<-back
						}
					})
				}
				wg.Wait()
				<-c.Lost()
				if submitted.Load() != completed.Load() {
					t.Fatalf("%d calls submitted, %d completed", submitted.Load(), completed.Load())
				}
			}
		})
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	call := readCall(d, 1, 4096)
	c.Submit(call)
	p.next()
	other := clunkCall(d, 2)
	c.Submit(other)
	p.next()
	p.reply(rclunk, 2)
	if got := <-d; got != other {
		t.Fatal("the call that was not answered is complete")
	}
	c.Close()
	if got := <-d; got != call || !errors.Is(got.Err, transport.ErrClosed) {
		t.Errorf("the call that was not answered ended with %v", got.Err)
	}
}

func TestForget(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{Slots: 1})
	d := newDone()
	flushed, waits := readCall(d, 1, 4096), clunkCall(d, 2)
	flush := request(completer(func(*transport.Call) { c.Forget(1) }), tflush, 3, []byte{1, 0}, nil, 0)
	flush.Urgent = true
	for _, call := range []*transport.Call{flushed, waits, flush} {
		c.Submit(call)
	}
	p.next()
	p.next()
	c.Forget(2) // waits: not outstanding
	c.Forget(9)
	p.reply(rflush, 3)
	if got := <-d; got != flushed || !errors.Is(got.Err, transport.ErrForgotten) {
		t.Fatalf("tag %d: %v", got.Tag, got.Err)
	}
	if f := p.next(); f.tag != 2 {
		t.Fatalf("the server got tag %d; a call given up frees its slot", f.tag)
	}
	p.reply(rclunk, 2)
	if got := <-d; got != waits || got.Err != nil {
		t.Fatalf("tag %d: %v", got.Tag, got.Err)
	}
	p.replyPayload(1, nil)
	<-c.Lost()
	if !errors.Is(c.Err(), transport.ErrProtocol) {
		t.Errorf("a reply after Rflush: %v", c.Err())
	}
}

// A call given up while it is being sent is complete when it has been sent.
func TestForgetWhileSending(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	large, small := writeCall(d, 1, make([]byte, 4<<20-100)), clunkCall(d, 2)
	c.Submit(large)
	c.Submit(small)
	c.Forget(1)
	if len(d) != 0 {
		t.Fatal("the call is complete while its payload is being sent")
	}
	p.next()
	p.next()
	p.reply(rclunk, 2)
	if got := <-d; got != large || !errors.Is(got.Err, transport.ErrForgotten) {
		t.Errorf("tag %d: %v", got.Tag, got.Err)
	}
	if got := <-d; got != small || got.Err != nil {
		t.Errorf("tag %d: %v", got.Tag, got.Err)
	}
}
