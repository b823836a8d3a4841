package stream_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// Message types that the tests use, as in 9P2000.L.
const (
	tversion, rversion = 100, 101
	tflush, rflush     = 108, 109
	tread, rread       = 116, 117
	twrite, rwrite     = 118, 119
	tclunk, rclunk     = 120, 121
	rlerror, rerror    = 7, 107
)

// wires are the kinds of connection, each with a way to a connected pair.
var wires = []struct {
	name string
	pair func(testing.TB) (client, server net.Conn)
}{
	{"unix", unixPair},
	{"tcp", tcpPair},
	{"file", filePair},
	{"plain", plainPair},
	{"tls", tlsPair},
}

func unixPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	var conns [2]net.Conn
	for i, fd := range socketpair(t) {
		f := os.NewFile(uintptr(fd), "socketpair")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		conns[i] = c
	}
	return conns[0], conns[1]
}

// plainConn is a connection with nothing but its methods.
type plainConn struct{ net.Conn }

func (plainConn) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "plain"} }

func plainPair(testing.TB) (client, server net.Conn) {
	client, server = net.Pipe()
	return plainConn{client}, server
}

func socketpair(t testing.TB) [2]int {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds
}

// fileConn is a connection on an os.File, as package vsock's are.
type fileConn struct{ *os.File }

func (fileConn) LocalAddr() net.Addr  { return &net.UnixAddr{Net: "file"} }
func (fileConn) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "file"} }

func filePair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	fds := socketpair(t)
	return fileConn{os.NewFile(uintptr(fds[0]), "client")}, fileConn{os.NewFile(uintptr(fds[1]), "server")}
}

func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func tlsPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ca := mtlstest.NewCA(t, "ca")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = mtls.NewListener(l, mtlstest.Source(t, ca.Server("nas"))).Accept(); err != nil {
		t.Fatal(err)
	}
	shaken := make(chan error, 1)
	go func() { shaken <- server.(*mtls.Conn).HandshakeContext(context.Background()) }()
	if client, err = mtls.Client(context.Background(), near, "nas", mtlstest.Source(t, ca.Client("c"))); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return client, server
}

// peer is the server's end, in the hands of a test.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// frame is a message as it came or goes.
type frame struct {
	kind uint8
	tag  uint16
	body []byte
}

func (f frame) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(7+len(f.body)))
	b = append(b, f.kind)
	b = binary.LittleEndian.AppendUint16(b, f.tag)
	return append(b, f.body...)
}

// read returns the next request.
func (p *peer) read() (frame, error) {
	var head [7]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{
		kind: head[4],
		tag:  binary.LittleEndian.Uint16(head[5:]),
		body: make([]byte, binary.LittleEndian.Uint32(head[:])-7),
	}
	_, err := io.ReadFull(p.in, f.body)
	return f, err
}

// next is read where an end of the stream is a failure.
func (p *peer) next() frame {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// write sends raw bytes.
func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// reply sends a reply.
func (p *peer) reply(kind uint8, tag uint16, body ...byte) {
	p.t.Helper()
	p.write(frame{kind, tag, body}.bytes())
}

// replyPayload sends a reply that carries a payload.
func (p *peer) replyPayload(tag uint16, payload []byte) {
	p.t.Helper()
	p.reply(rread, tag, counted(payload)...)
}

// counted is a body of count[4] and a payload.
func counted(payload []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

// connect makes a Conn whose server is the test. Both ends and all goroutines
// are gone when the test ends.
func connect(t testing.TB, pair func(testing.TB) (net.Conn, net.Conn), o stream.Options) (*stream.Conn, *peer) {
	t.Helper()
	client, server := pair(t)
	c := stream.New(client, o)
	t.Cleanup(func() {
		c.Close()
		<-c.Lost()
		server.Close()
	})
	return c, &peer{t: t, conn: server, in: bufio.NewReaderSize(server, 1<<20)}
}

// done receives completed calls.
type done chan *transport.Call

func (d done) Complete(c *transport.Call) { d <- c }

func newDone() done { return make(done, 1<<16) }

// completer is a function as a transport.Completer.
type completer func(*transport.Call)

func (f completer) Complete(c *transport.Call) { f(c) }

// request makes a call of a body, a payload to send and room for one to come.
func request(d transport.Completer, kind uint8, tag uint16, body, out []byte, in int) *transport.Call {
	c := &transport.Call{Tag: tag, Out: out, Reply: make([]byte, 0, 64), Done: d}
	c.Head = binary.LittleEndian.AppendUint32(nil, uint32(7+len(body)+len(out)))
	c.Head = append(c.Head, kind)
	c.Head = binary.LittleEndian.AppendUint16(c.Head, tag)
	c.Head = append(c.Head, body...)
	if in > 0 {
		c.In = make([]byte, in)
	}
	return c
}

// readCall makes a Tread of n bytes, and little else in it than that.
func readCall(d transport.Completer, tag uint16, n int) *transport.Call {
	return request(d, tread, tag, binary.LittleEndian.AppendUint32(nil, uint32(n)), nil, n)
}

// writeCall makes a Twrite.
func writeCall(d transport.Completer, tag uint16, p []byte) *transport.Call {
	return request(d, twrite, tag, binary.LittleEndian.AppendUint32(nil, uint32(len(p))), p, 0)
}

func clunkCall(d transport.Completer, tag uint16) *transport.Call {
	return request(d, tclunk, tag, []byte{1, 0, 0, 0}, nil, 0)
}
