package ninep

import "sync/atomic"

// Meter counts the data of Tread, Treaddir and Twrite by the path that it took. The zero value is ready, and safe for concurrent use.
type Meter struct {
	sent, received struct{ placed, spliced, off, small, transport atomic.Uint64 }
}

// Paths are bytes of payload by path: placed, or copied and why.
type Paths struct {
	Placed    uint64 // from or to where they lie, without a copy in this process
	Spliced   uint64 // through a pipe, without even being placed
	Off       uint64 // copied because of ZeroCopyOff
	Small     uint64 // copied because that costs less: below the threshold, or read ahead with other replies
	Transport uint64 // copied because the transport cannot do otherwise, or not from or to that memory
}

// Paths returns the counts so far.
func (m *Meter) Paths() (sent, received Paths) {
	s, r := &m.sent, &m.received
	return Paths{Placed: s.placed.Load(), Spliced: s.spliced.Load(), Off: s.off.Load(), Small: s.small.Load(), Transport: s.transport.Load()},
		Paths{Placed: r.placed.Load(), Spliced: r.spliced.Load(), Off: r.off.Load(), Small: r.small.Load(), Transport: r.transport.Load()}
}

// count counts the payload of a call that was answered.
func (m *Meter) count(c *call) {
	off := c.volume.options.ZeroCopy == ZeroCopyOff
	switch kind := MsgType(c.Head[4]); {
	case kind == TypeTwrite && off:
		m.sent.off.Add(uint64(c.Inside))
	case kind == TypeTwrite && !c.link.zeroCopy:
		m.sent.transport.Add(uint64(len(c.Out) + c.Inside))
	case kind == TypeTwrite:
		m.sent.placed.Add(uint64(len(c.Out) - c.Bounced))
		m.sent.transport.Add(uint64(c.Bounced))
		m.sent.small.Add(uint64(c.Inside))
	case off && len(c.Reply) > ReadHeadSize && MsgType(c.Reply[4]) == kind+1:
		m.received.off.Add(uint64(len(c.Reply) - ReadHeadSize))
	case off:
	case !c.link.zeroCopy:
		m.received.transport.Add(uint64(c.N))
	case c.Pipe != nil:
		m.received.spliced.Add(uint64(c.N))
	default:
		m.received.placed.Add(uint64(max(0, c.N-c.Copied)))
		m.received.small.Add(uint64(c.Copied - c.Bounced))
		m.received.transport.Add(uint64(c.Bounced))
	}
}

// traffic is the paths without the reasons.
func (p Paths) traffic() Traffic {
	return Traffic{Placed: p.Placed + p.Spliced, Copied: p.Off + p.Small + p.Transport}
}
