package posted_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/posted"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type done chan *transport.Call

func (d done) Complete(c *transport.Call) { d <- c }

// connect returns a connection, its peer, and a Tread of 8 bytes that the peer has received.
func connect(t *testing.T, seen func(head, payload, tail []byte)) (*posted.Conn, net.Conn, *transport.Call, done) {
	t.Helper()
	near, far := net.Pipe()
	c := posted.New(near, seen)
	t.Cleanup(func() {
		_ = c.Close()
		<-c.Lost()
		_ = far.Close()
	})
	d := make(done, 1)
	call := &transport.Call{
		Tag: 3, Head: []byte{23, 0, 0, 0, 116, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0},
		In: make([]byte, 8), Reply: make([]byte, 0, 40), Done: d,
	}
	c.Submit(call)
	if _, err := io.ReadFull(far, make([]byte, 23)); err != nil {
		t.Fatal(err)
	}
	return c, far, call, d
}

// TestAnErrorRunsIntoThePayload: the device does not look at what it writes, the client's side sorts it out.
func TestAnErrorRunsIntoThePayload(t *testing.T) {
	var payload, tail string
	_, far, call, d := connect(t, func(_, p, rest []byte) { payload, tail = string(p), string(rest) })
	reply := append([]byte{29, 0, 0, 0, 107, 3, 0, 20, 0}, "permission denied..."...)
	if _, err := far.Write(reply); err != nil {
		t.Fatal(err)
	}
	<-d
	if payload != "rmission" || tail[:10] != " denied..." {
		t.Errorf("the device wrote %q and %q", payload, tail)
	}
	if call.Err != nil || call.N != 0 || !bytes.Equal(call.Reply, reply) || !bytes.Equal(call.In, make([]byte, 8)) {
		t.Errorf("%v: reply %q, %d bytes of payload, %q there", call.Err, call.Reply, call.N, call.In)
	}
}

func TestAPayloadStaysWhereItIs(t *testing.T) {
	_, far, call, d := connect(t, nil)
	if _, err := far.Write([]byte{16, 0, 0, 0, 117, 3, 0, 5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'}); err != nil {
		t.Fatal(err)
	}
	<-d
	if call.Err != nil || string(call.In[:call.N]) != "hello" || len(call.Reply) != transport.PayloadHeadSize {
		t.Errorf("%v: %q, head of %d bytes", call.Err, call.In[:call.N], len(call.Reply))
	}
}

func TestTheEnd(t *testing.T) {
	for name, end := range map[string]func(*posted.Conn, net.Conn){
		"closed":       func(c *posted.Conn, _ net.Conn) { _ = c.Close() },
		"hung up":      func(_ *posted.Conn, far net.Conn) { _ = far.Close() },
		"a lying size": func(_ *posted.Conn, far net.Conn) { _, _ = far.Write([]byte{255, 0, 0, 0, 117, 3, 0}) },
	} {
		c, far, call, d := connect(t, nil)
		end(c, far)
		<-d
		<-c.Lost()
		if call.Err == nil || call.N != 0 || c.Err() == nil {
			t.Errorf("%s: the call ended with %v, the connection with %v", name, call.Err, c.Err())
		}
		if name == "closed" && !errors.Is(call.Err, transport.ErrClosed) || name == "a lying size" && !errors.Is(call.Err, transport.ErrProtocol) {
			t.Errorf("%s: %v", name, call.Err)
		}
	}
}
