package ninep

import (
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/ninep/latency"
)

// Stats is what a session has counted since it was opened, over all its connections, and what it has under way.
type Stats struct {
	Calls    []CallStats // one for each type that was sent, by type
	Sent     Traffic     // the data of Twrite
	Received Traffic     // the data of Rread and Rreaddir
	InFlight Load        // calls that the connection has and that are not complete
	Parked   int         // messages of reads and writes that wait for a lost server
	Fids     int         // that have a number
	// Spoiled is how many fids a reconnect could not bind again: their file is gone or another one, or its locks are
	// another client's.
	Spoiled uint64
}

// CallStats are the calls of one type.
type CallStats struct {
	Type MsgType
	// Latency counts the calls that were answered, from their submission, with the wait for their turn, to the reply.
	Latency latency.Snapshot
	// Errors is how many of these answers were an error. Some are in the way of things, such as ENOENT.
	Errors uint64
	// Unanswered is how many calls ended without an answer: the connection was lost, or they were flushed. What is
	// repeated on the next connection counts again.
	Unanswered uint64
}

// Traffic is a number of bytes by the way that they took.
type Traffic struct {
	Placed uint64 // from or to where they lie, without a copy in this process
	Copied uint64 // by way of a buffer
}

// Load is what is under way at a moment.
type Load struct {
	Calls int
	Bytes int64 // of payload
}

// counters are the live form of [Stats].
type counters struct {
	epoch time.Time // what calls are timed against: reading the monotonic clock alone is cheaper than time.Now
	types [64]callCounters

	payload Meter
	spoiled atomic.Uint64
}

// callCounters are those of one type. A T-message's number is even.
type callCounters struct {
	latency    latency.Histogram
	errors     atomic.Uint64
	unanswered atomic.Uint64
}

func (n *counters) now() time.Duration { return time.Since(n.epoch) }

// count counts a call that is complete.
func (n *counters) count(c *call) {
	kind := MsgType(c.Head[4])
	t := &n.types[kind>>1%64]
	if c.Err != nil {
		t.unanswered.Add(1)
		return
	}
	t.latency.Observe(n.now() - c.started)
	if len(c.Reply) >= HeaderSize && MsgType(c.Reply[4]) != kind+1 {
		t.errors.Add(1)
	}
	if c.volume == nil {
		return
	}
	n.payload.count(c)
	if m := c.volume.options.Meter; m != nil {
		m.count(c)
	}
}

// Stats returns what the session has counted and has under way. It takes no lock that calls wait long for.
func (s *Session) Stats() Stats {
	n := &s.counters
	var stats Stats
	for i := range n.types {
		t := &n.types[i]
		c := CallStats{Type: MsgType(i << 1), Latency: t.latency.Snapshot(), Errors: t.errors.Load(), Unanswered: t.unanswered.Load()}
		if c.Latency.Count()+c.Unanswered > 0 {
			stats.Calls = append(stats.Calls, c)
		}
	}
	sent, received := n.payload.Paths()
	stats.Sent, stats.Received = sent.traffic(), received.traffic()
	stats.Spoiled = n.spoiled.Load()
	if l := s.current.Load(); l != nil {
		stats.InFlight = l.load()
	}
	s.mu.Lock()
	stats.Parked = len(s.parked)
	s.mu.Unlock()
	s.fidMu.Lock()
	stats.Fids = len(s.fids)
	s.fidMu.Unlock()
	return stats
}

// load is what is under way on the link.
func (l *link) load() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := Load{Calls: len(l.waiting)}
	for i := range l.slots {
		if c := l.slots[i].call; c != nil {
			load.Calls++
			load.Bytes += int64(max(len(c.In), len(c.Out), c.Inside))
		}
	}
	return load
}

// Add adds what another session has counted and has under way.
func (s *Stats) Add(o Stats) {
	byType := make(map[MsgType]int, len(s.Calls))
	for i, c := range s.Calls {
		byType[c.Type] = i
	}
	for _, c := range o.Calls {
		i, known := byType[c.Type]
		if !known {
			s.Calls = append(s.Calls, c)
			continue
		}
		s.Calls[i].Latency.Add(c.Latency)
		s.Calls[i].Errors += c.Errors
		s.Calls[i].Unanswered += c.Unanswered
	}
	s.Sent.add(o.Sent)
	s.Received.add(o.Received)
	s.InFlight.Calls += o.InFlight.Calls
	s.InFlight.Bytes += o.InFlight.Bytes
	s.Parked += o.Parked
	s.Fids += o.Fids
	s.Spoiled += o.Spoiled
}

func (p *Traffic) add(o Traffic) {
	p.Placed += o.Placed
	p.Copied += o.Copied
}
