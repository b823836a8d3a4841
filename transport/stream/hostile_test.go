package stream_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// In the table below tag 1 is a Tread of 100 bytes, tag 2 a Tclunk, and msize is
// 8192.
var violations = []struct {
	name  string
	reply []byte
}{
	{"size 0", make([]byte, 7)},
	{"size 6", []byte{6, 0, 0, 0, rclunk, 2, 0}},
	{"size of 4 GiB", []byte{255, 255, 255, 255, rclunk, 2, 0}},
	{"more than msize", []byte{1, 0x20, 0, 0, rread, 1, 0}},
	{"a tag never used", frame{rclunk, 9, nil}.bytes()},
	{"a tag beyond all", frame{rclunk, 0xfffe, nil}.bytes()},
	{"NOTAG without Tversion", frame{rversion, 0xffff, nil}.bytes()},
	{"another request's type", frame{rwrite, 2, nil}.bytes()},
	{"the request's own type", frame{tclunk, 2, nil}.bytes()},
	{"a payload for a call without", frame{rread, 2, counted([]byte("x"))}.bytes()},
	{"a type that is none", frame{0, 2, nil}.bytes()},
	{"more room than the reply has", frame{rclunk, 2, make([]byte, 65)}.bytes()},
	{"a number of unbounded length", frame{rlerror, 1, make([]byte, 4096)}.bytes()},
	{"an error longer than msize", frame{rerror, 1, make([]byte, 9000)}.bytes()},
	{"no count", frame{rread, 1, nil}.bytes()},
	{"half a count", frame{rread, 1, []byte{0, 0}}.bytes()},
	{"count over what was asked", frame{rread, 1, counted(make([]byte, 101))}.bytes()},
	{"count of 4 GiB", frame{rread, 1, []byte{255, 255, 255, 255}}.bytes()},
	{"count over size", frame{rread, 1, []byte{100, 0, 0, 0}}.bytes()},
	{"count under size", frame{rread, 1, []byte{1, 0, 0, 0, 1, 2}}.bytes()},
	{"one reply twice", bytes.Repeat(frame{rclunk, 2, nil}.bytes(), 2)},
	{"a good reply, then junk", append(frame{rclunk, 2, nil}.bytes(), bytes.Repeat([]byte{0xee}, 40)...)},
}

func TestHostilePeer(t *testing.T) {
	for _, test := range violations {
		t.Run(test.name, func(t *testing.T) {
			c, p := connect(t, unixPair, stream.Options{})
			c.SetMsize(8192)
			d := newDone()
			read, clunk := readCall(d, 1, 100), clunkCall(d, 2)
			c.Submit(read)
			c.Submit(clunk)
			p.next()
			p.next()
			p.write(test.reply)
			<-c.Lost()
			if err := c.Err(); !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("the connection ended with %v", err)
			}
			if len(d) != 2 {
				t.Fatalf("%d calls completed, want 2", len(d))
			}
			for range 2 {
				if got := <-d; got == read && !errors.Is(got.Err, transport.ErrProtocol) {
					t.Errorf("Tread ended with %v", got.Err)
				}
			}
			if !bytes.Equal(read.In, make([]byte, 100)) {
				t.Error("bytes of a refused reply are in the payload")
			}
		})
	}
}

// An error's text is cut to the room there is; no byte of it is in the payload,
// nor taken for the next reply.
func TestLongErrorText(t *testing.T) {
	for _, w := range wires {
		for _, length := range []int{0, 10, 64, 4096, 8000} {
			c, p := connect(t, w.pair, stream.Options{})
			d := newDone()
			read := readCall(d, 1, 100)
			text := bytes.Repeat([]byte("e"), length)
			whole := frame{rerror, 1, text}.bytes()
			c.Submit(read)
			p.next()
			p.write(whole)
			<-d
			want := whole[:min(len(whole), cap(read.Reply))]
			if read.Err != nil || read.N != 0 || !bytes.Equal(read.Reply, want) {
				t.Errorf("%s: a text of %d bytes: %d bytes of reply, %d of payload, %v", w.name, length, len(read.Reply), read.N, read.Err)
			}
			if !bytes.Equal(read.In, make([]byte, 100)) {
				t.Errorf("%s: bytes of a text of %d are in the payload", w.name, length)
			}
			clunk := clunkCall(d, 2)
			c.Submit(clunk)
			p.next()
			p.write(frame{rclunk, 2, nil}.bytes())
			if got := <-d; got != clunk || got.Err != nil {
				t.Errorf("%s: after a text of %d bytes: %v", w.name, length, got.Err)
			}
		}
	}
}

// A stream that ends within a reply ends the connection; what came of the
// payload is no success.
func TestTruncatedReply(t *testing.T) {
	whole := frame{rread, 1, counted(make([]byte, 100))}.bytes()
	for _, w := range wires {
		for _, n := range []int{0, 1, 6, 7, 10, 11, 12, len(whole) - 1} {
			c, p := connect(t, w.pair, stream.Options{})
			d := newDone()
			c.Submit(readCall(d, 1, 100))
			p.next()
			p.write(whole[:n])
			p.conn.Close()
			if got := <-d; !errors.Is(got.Err, io.EOF) && !errors.Is(got.Err, io.ErrUnexpectedEOF) || got.N != 0 {
				t.Errorf("%s, %d bytes of a reply: %v, N %d", w.name, n, got.Err, got.N)
			}
			<-c.Lost()
		}
	}
}

// A reply to a message of which the server has not taken all must not give the
// memory back that is still being sent.
func TestReplyBeforeTheMessageIsSent(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{MaxMsize: 16 << 20})
	d := newDone()
	first := readCall(d, 1, 100)
	c.Submit(first)
	p.next()

	out := pattern(7, 8<<20) // more than a socket holds
	large := writeCall(d, 2, out)
	c.Submit(large)
	if _, err := p.in.Peek(11); err != nil {
		t.Fatal(err)
	}
	p.reply(rlerror, 2, 5, 0, 0, 0)
	p.replyPayload(1, nil)
	if got := <-d; got != first {
		t.Fatal("the call was completed while its payload was being sent")
	}
	if f := p.next(); !bytes.Equal(f.body[4:], out) {
		t.Fatal("the payload changed on its way")
	}
	if got := <-d; got != large || got.Err != nil || got.Reply[4] != rlerror {
		t.Errorf("reply %v, error %v", got.Reply, got.Err)
	}
}

// FuzzReceive feeds a connection whatever a server may send. Every call must
// come back once, and a payload within what was asked.
func FuzzReceive(f *testing.F) {
	for _, test := range violations {
		f.Add(test.reply)
	}
	f.Add(frame{rread, 1, counted(make([]byte, 100))}.bytes())
	f.Add(append(frame{rversion, 0xffff, []byte("9P2000.L")}.bytes(), frame{rlerror, 1, make([]byte, 4)}.bytes()...))
	f.Add(append(frame{rread, 3, counted(make([]byte, 20_000))}.bytes(), frame{rclunk, 2, nil}.bytes()...))
	f.Fuzz(func(t *testing.T, input []byte) {
		client, server := net.Pipe()
		c := stream.New(client, stream.Options{MaxMsize: 32 << 10})
		d := newDone()
		calls := []*transport.Call{
			request(d, tversion, transport.NoTag, nil, nil, 0),
			readCall(d, 1, 100), clunkCall(d, 2), readCall(d, 3, 20_000),
		}
		sent := 0
		for _, call := range calls {
			c.Submit(call)
			sent += len(call.Head)
		}
		if _, err := io.CopyN(io.Discard, server, int64(sent)); err != nil {
			t.Fatal(err)
		}
		server.SetWriteDeadline(time.Now().Add(10 * time.Second))
		server.Write(input)
		server.Close()
		<-c.Lost()
		if len(d) != len(calls) {
			t.Fatalf("%d of %d calls completed", len(d), len(calls))
		}
		for range calls {
			call := <-d
			if call.Err == nil && (call.N > len(call.In) || len(call.Reply) < 7) {
				t.Errorf("type %d: N %d of %d, head of %d bytes", call.Head[4], call.N, len(call.In), len(call.Reply))
			}
		}
		if c.Err() == nil {
			t.Error("the connection died for no reason")
		}
	})
}
