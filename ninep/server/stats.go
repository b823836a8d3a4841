package server

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/latency"
)

// Stats is what a server has counted since it was made, and what it has at the moment.
type Stats struct {
	Connections int64  // open
	Accepted    uint64 // connections that were let in
	Refused     Refused
	Requests    []RequestStats // one for each type that came, by type; 0 stands for those that are unknown
	InFlight    int64          // requests without a reply
	Received    uint64         // bytes of the data of Twrite
	Sent        uint64         // bytes of the data of Rread and Rreaddir
	Descriptors int64          // that fids hold
}

// Refused is how many connections were not let in, by the reason.
type Refused struct {
	Address   uint64 // the peer is not among those that are allowed
	Limit     uint64 // there were as many connections as may be
	Handshake uint64 // the TLS handshake failed
}

// RequestStats are the requests of one type.
type RequestStats struct {
	Type    ninep.MsgType
	Latency latency.Snapshot // from the request's arrival to its reply's being ready
	Errors  uint64           // answered with an error; some are in the way of things
}

// counters are the live form of [Stats].
type counters struct {
	epoch    time.Time // what requests are timed against
	accepted atomic.Uint64
	refused  struct{ address, limit, handshake atomic.Uint64 }
	types    [64]requestCounters
	inFlight atomic.Int64
	received atomic.Uint64
	sent     atomic.Uint64
}

// requestCounters are those of one type. A T-message's number is even.
type requestCounters struct {
	latency latency.Histogram
	errors  atomic.Uint64
}

// begin notes a request that has arrived.
func (n *counters) begin(r *request) {
	r.arrived = time.Since(n.epoch)
	n.inFlight.Add(1)
}

// end counts a request that has its reply.
func (n *counters) end(r *request) {
	n.inFlight.Add(-1)
	kind := r.kind
	if errors.Is(r.err, ninep.ErrUnknownType) {
		kind = 0
	}
	t := &n.types[kind>>1%64]
	t.latency.Observe(time.Since(n.epoch) - r.arrived)
	switch {
	case len(r.head) > 4 && r.head[4] != byte(r.kind)+1:
		t.errors.Add(1)
	case r.kind == ninep.TypeTread || r.kind == ninep.TypeTreaddir:
		n.sent.Add(uint64(len(r.data) + r.piped))
	case r.kind == ninep.TypeTwrite:
		n.received.Add(uint64(r.io.count))
	}
}

// Stats returns what the server has counted.
func (s *Server) Stats() Stats {
	n := &s.counters
	stats := Stats{
		Connections: s.conns.used.Load(),
		Accepted:    n.accepted.Load(),
		Refused:     Refused{Address: n.refused.address.Load(), Limit: n.refused.limit.Load(), Handshake: n.refused.handshake.Load()},
		InFlight:    n.inFlight.Load(),
		Received:    n.received.Load(),
		Sent:        n.sent.Load(),
		Descriptors: s.fds.used.Load(),
	}
	for i := range n.types {
		t := RequestStats{Type: ninep.MsgType(i << 1), Latency: n.types[i].latency.Snapshot(), Errors: n.types[i].errors.Load()}
		if t.Latency.Count() > 0 {
			stats.Requests = append(stats.Requests, t)
		}
	}
	return stats
}
