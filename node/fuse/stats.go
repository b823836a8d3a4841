package fuse

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Stats is what a connection has counted since it is served by this process.
type Stats struct {
	Requests []OpcodeStats // one for each opcode that came, by opcode; 0 stands for those that fuse.h does not have
	InFlight int64         // requests without an answer; one that waits for a lock is among them
	Read     uint64        // bytes answered to READ
	Written  uint64        // bytes that WRITE wrote
	IOURing  bool          // requests come by io_uring, not through /dev/fuse
}

// OpcodeStats are the requests of one opcode.
type OpcodeStats struct {
	Opcode Opcode
	Count  uint64
	Errors uint64 // answered with an error; some are in the way of things, such as ENOENT for LOOKUP
}

// counters are the live form of [Stats].
type counters struct {
	requests, errors [len(shapes)]atomic.Uint64
	read, written    atomic.Uint64
	ioURing          atomic.Bool
}

// index is where an opcode is counted.
func (*counters) index(op Opcode) Opcode {
	if int64(op) >= int64(len(shapes)) {
		return 0
	}
	return op
}

func (n *counters) request(op Opcode) { n.requests[n.index(op)].Add(1) }

// reply counts an answer with that many bytes of payload.
func (n *counters) reply(op Opcode, errno unix.Errno, payload int) {
	switch {
	case errno != 0:
		n.errors[n.index(op)].Add(1)
	case op == OpRead:
		n.read.Add(uint64(payload))
	}
}

// Stats returns what the connection has counted.
func (c *Conn) Stats() Stats {
	n := &c.counters
	s := Stats{Read: n.read.Load(), Written: n.written.Load(), InFlight: c.unanswered.Load(), IOURing: n.ioURing.Load()}
	if !c.stopping.Load() {
		s.InFlight-- // what Close waits for is counted too
	}
	s.InFlight = max(0, s.InFlight)
	for op := range n.requests {
		if count := n.requests[op].Load(); count > 0 {
			s.Requests = append(s.Requests, OpcodeStats{Opcode: Opcode(op), Count: count, Errors: n.errors[op].Load()})
		}
	}
	return s
}
