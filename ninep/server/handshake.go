package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
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
	errCrowded       = fmt.Errorf("the client's TLS handshake had to make room: %d are under way, the most from its address, and it was the oldest of these", maxHandshakes)
)

// secure shakes hands with a peer that has to, and reports whether it may be served.
func (s *Server) secure(ctx context.Context, nc net.Conn, all *handshakes) bool {
	h, ok := nc.(handshaker)
	if !ok {
		return true
	}
	addr, _ := tcpPeer(nc)
	err := all.shake(ctx, h, addr)
	if err == nil {
		return true
	}
	s.counters.refused.handshake.Add(1)
	log := klog.FromContext(ctx).WithValues("peer", nc.RemoteAddr().String(), "reason", err.Error())
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

type handshake struct {
	addr netip.Addr // the peer's
	end  context.CancelCauseFunc
}

func (all *handshakes) shake(ctx context.Context, h handshaker, addr netip.Addr) error {
	ctx, stop := context.WithTimeoutCause(ctx, handshakeTime, errSlowHandshake)
	defer stop()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	one := &handshake{addr, end}
	all.enter(one)
	defer all.leave(one)
	return h.HandshakeContext(ctx)
}

// enter counts a handshake in. If there are too many another one ends.
func (all *handshakes) enter(one *handshake) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.open) == maxHandshakes {
		i := all.crowder()
		all.open[i].end(errCrowded)
		all.open = slices.Delete(all.open, i, i+1)
	}
	all.open = append(all.open, one)
}

// crowder is the oldest handshake of the address that has the most: an honest client's takes milliseconds, and no address
// keeps the others out.
func (all *handshakes) crowder() (oldest int) {
	count := make(map[netip.Addr]int)
	for _, one := range all.open {
		count[one.addr]++
	}
	for i, one := range all.open {
		if count[one.addr] > count[all.open[oldest].addr] {
			oldest = i
		}
	}
	return oldest
}

func (all *handshakes) leave(one *handshake) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if i := slices.Index(all.open, one); i >= 0 {
		all.open = slices.Delete(all.open, i, i+1)
	}
}
