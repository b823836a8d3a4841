package server_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep/server"
)

// tap hands out what it accepts to the test as well.
type tap struct {
	net.Listener
	accepted chan net.Conn
}

func (l tap) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		l.accepted <- nc
	}
	return nc, err
}

// A client that is gone without a word must not keep its fids and locks for ever: the host is told to notice.
func TestSilentPeersAreNoticed(t *testing.T) {
	e := newExport(t, server.Options{})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tap{inner, make(chan net.Conn, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(ctx, l) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, nc: nc}
	c.version(8192)
	for option, want := range map[[2]int]int{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE}:      1,
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}: 60_000,
	} {
		accepted := <-l.accepted
		if got := socketOption(t, accepted, option); got != want {
			t.Errorf("socket option %v is %d, want %d", option, got, want)
		}
		l.accepted <- accepted
	}
	nc.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func socketOption(t *testing.T, nc net.Conn, option [2]int) (value int) {
	t.Helper()
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { value, failed = unix.GetsockoptInt(int(fd), option[0], option[1]) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return value
}

// A socket that is made for a new server is as private as the process's umask asks.
func TestNewLeavesTheUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	s, err := server.New(server.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
}
