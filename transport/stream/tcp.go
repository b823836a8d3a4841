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

// Tune sets the options that either end of a TCP connection wants: no delay, and
// notice within a minute of a peer that is gone or takes nothing any more. Of a
// TLS connection it is the one beneath. On another connection it does nothing.
// An option that cannot be set costs latency or notice, never correctness, so
// errors are left.
func Tune(c net.Conn) {
	if upper, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = upper.NetConn()
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
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
