package stream

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// A peer that is gone without a word is noticed after userTimeout: by
// keepalive when nothing is being sent, by TCP_USER_TIMEOUT (tcp(7)) when sent
// data is not acknowledged. The latter ends a connection whose server is alive
// and has read nothing for as long, too (net/ipv4/tcp_timer.c,
// tcp_probe_timer), so it leaves a slow one its time.
const (
	keepIdle     = 15 * time.Second
	keepInterval = 5 * time.Second
	keepCount    = 3
	userTimeout  = 60 * time.Second
)

// unixBuffer is how much a unix socket takes before its sender has to wait, in
// the kernel's count, which is of the memory. With its default of 208 KiB the two
// ends of a large payload take turns, and a wake for each turn costs more than
// the bytes do. TCP finds its own measure.
const unixBuffer = 4 << 20

// Tune sets the options that either end of a connection wants. TCP: no delay,
// and notice within a minute of a peer that is gone or takes nothing any more;
// of a TLS connection it is the one beneath. Unix sockets: room for a large
// payload. On another connection it does nothing. An option that cannot be set
// costs time or notice, never correctness, so errors are left.
func Tune(c net.Conn) {
	if upper, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = upper.NetConn()
	}
	switch c := c.(type) {
	case *net.TCPConn:
		tuneTCP(c)
	case *net.UnixConn:
		tuneUnix(c)
	}
}

// tuneUnix asks for unixBuffer, of which the kernel grants net.core.wmem_max
// without CAP_NET_ADMIN, and doubles what it is asked for (socket(7)).
func tuneUnix(u *net.UnixConn) {
	raw, err := u.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, unixBuffer/2) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, unixBuffer/2)
		}
	})
}

func tuneTCP(t *net.TCPConn) {
	_ = t.SetNoDelay(true)
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable:   true,
		Idle:     keepIdle,
		Interval: keepInterval,
		Count:    keepCount,
	})
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}
