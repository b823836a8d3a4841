package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

const (
	// handshakeTime is how long a client may take to show its certificate.
	handshakeTime = 10 * time.Second
	// maxHandshakes is how many clients of a listener may be at it.
	maxHandshakes = 128
	// handshakeLines is how many failures the log tells of one address in a minute: several clients may come from it.
	handshakeLines = 10
)

// handshaker is a connection that does nothing before a handshake, which tells who the peer is.
type handshaker interface {
	HandshakeContext(context.Context) error
	// Peer names the certificate that the peer has shown.
	Peer() string
}

var (
	errSlowHandshake = fmt.Errorf("the client did not finish the TLS handshake within %v", handshakeTime)
	errCrowded       = fmt.Errorf("the client's TLS handshake was the oldest of %d under way and had to make room", maxHandshakes)
)

// secure shakes hands with a peer that has to, and reports whether it may be served.
func (s *Server) secure(ctx context.Context, nc net.Conn, all *handshakes) bool {
	h, ok := nc.(handshaker)
	if !ok {
		return true
	}
	err := all.shake(ctx, h)
	if err == nil {
		return true
	}
	s.counters.refused.handshake.Add(1)
	log := klog.FromContext(ctx).WithValues("peer", nc.RemoteAddr().String(), "reason", err.Error())
	addr, _ := tcpPeer(nc)
	switch {
	case ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET): // such as a probe of the port
		log.V(2).Info("A TLS handshake was broken off")
	case s.complaints.below(addr, handshakeLines):
		log.Info("Refused a 9P client: the TLS handshake failed")
	}
	return false
}

// handshakes are those under way on a listener, the oldest first.
type handshakes struct {
	mu   sync.Mutex
	open []*handshake
}

type handshake struct{ end context.CancelCauseFunc }

func (all *handshakes) shake(ctx context.Context, h handshaker) error {
	ctx, stop := context.WithTimeoutCause(ctx, handshakeTime, errSlowHandshake)
	defer stop()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	one := &handshake{end}
	all.enter(one)
	defer all.leave(one)
	return h.HandshakeContext(ctx)
}

// enter counts a handshake in. The oldest ends if there are too many: an honest client's takes milliseconds.
func (all *handshakes) enter(one *handshake) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.open) == maxHandshakes {
		all.open[0].end(errCrowded)
		all.open = slices.Delete(all.open, 0, 1)
	}
	all.open = append(all.open, one)
}

func (all *handshakes) leave(one *handshake) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if i := slices.Index(all.open, one); i >= 0 {
		all.open = slices.Delete(all.open, i, i+1)
	}
}
