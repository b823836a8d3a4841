package server

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

const (
	complaintInterval = time.Minute // between two log lines about the same peer, or several
	complaintPeers    = 1024        // peers remembered
)

// admit decides whether a peer may talk to the server, and counts the connection if so.
func (s *Server) admit(ctx context.Context, nc net.Conn) bool {
	log := klog.FromContext(ctx)
	_, secured := nc.(handshaker)
	if addr, ok := tcpPeer(nc); ok && !s.allowed(addr, secured) {
		s.counters.refused.address.Add(1)
		if s.complaints.first(addr) {
			log.Info("Refused a 9P peer that is not among the allowed addresses", "peer", addr.String())
		}
		return false
	}
	if !s.conns.take(1) {
		s.counters.refused.limit.Add(1)
		if s.complaints.first(netip.Addr{}) {
			log.Info("Refused a 9P connection: there are as many as allowed", "limit", s.options.MaxConns)
		}
		return false
	}
	s.counters.accepted.Add(1)
	return true
}

// allowed decides by a TCP peer's address. Without a list, one that has to show a certificate may come from anywhere.
func (s *Server) allowed(addr netip.Addr, secured bool) bool {
	if len(s.options.Allow) == 0 {
		return secured || addr.IsLoopback()
	}
	for _, prefix := range s.options.Allow {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

func tcpPeer(nc net.Conn) (netip.Addr, bool) {
	tcp, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap().WithZone(""), true
}

// peerName tells clients apart for the ownership of locks: a host by its address, however often it connects, and every
// connection without an address by itself.
func (s *Server) peerName(nc net.Conn) string {
	if addr, ok := tcpPeer(nc); ok {
		return addr.String()
	}
	return fmt.Sprintf("#%d", s.serial.Add(1))
}

// peerLog is the log of a connection, which names the peer by its address and its certificate.
func peerLog(ctx context.Context, nc net.Conn) klog.Logger {
	log := klog.FromContext(ctx).WithValues("peer", nc.RemoteAddr().String())
	if h, ok := nc.(handshaker); ok {
		log = log.WithValues("certificate", h.Peer())
	}
	return log
}

// complaints remembers about which peers the log has a line lately, so that nobody can fill it. The zero address stands
// for those that have none.
type complaints struct {
	mu   sync.Mutex
	last map[netip.Addr]complaint
}

// complaint counts the lines since the first of them.
type complaint struct {
	since time.Time
	lines int
}

// first reports whether there is no such line, and takes note of one.
func (r *complaints) first(addr netip.Addr) bool { return r.below(addr, 1) }

// below reports whether there are fewer than limit such lines, and takes note of another.
func (r *complaints) below(addr netip.Addr, limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	had, known := r.last[addr]
	switch {
	case !known && !r.room(now):
		return false
	case !known || now.Sub(had.since) >= complaintInterval:
		had = complaint{since: now}
	case had.lines >= limit:
		return false
	}
	had.lines++
	r.last[addr] = had
	return true
}

// room forgets what is long ago and reports whether another peer can be remembered.
func (r *complaints) room(now time.Time) bool {
	if r.last == nil {
		r.last = make(map[netip.Addr]complaint)
	}
	if len(r.last) >= complaintPeers {
		maps.DeleteFunc(r.last, func(_ netip.Addr, c complaint) bool { return now.Sub(c.since) >= complaintInterval })
	}
	return len(r.last) < complaintPeers
}
