package stream_test

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport/stream"
)

// A unix socket takes more than it does by default, with privileges or without: socket(7) lets everybody have
// net.core.wmem_max, twice over, and that is no less than the default.
func TestUnixSocketsHaveRoom(t *testing.T) {
	client, server := unixPair(t)
	defer server.Close()
	before := sendBuffer(t, client)
	c := stream.New(client, stream.Options{})
	defer func() { <-c.Lost() }()
	defer c.Close()
	if after := sendBuffer(t, client); after < 2*before {
		t.Errorf("a socket has room for %d bytes, and had for %d", after, before)
	}
}

func sendBuffer(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
