package stream

import "sync/atomic"

// Stats counts what a connection received.
type Stats struct {
	// PayloadPlaced is how many payload bytes were read from the socket to where
	// they were wanted.
	PayloadPlaced uint64
	// PayloadSpliced is how many went from the socket to a pipe.
	PayloadSpliced uint64
	// PayloadCopied is how many came by way of the read-ahead buffer, or of a
	// connection that copies by nature, as TLS does.
	PayloadCopied uint64
}

// counters are the live Stats.
type counters struct {
	placed, spliced, copied atomic.Uint64
}

// Stats returns the counts so far. It is safe for concurrent use.
func (c *Conn) Stats() Stats {
	return Stats{PayloadPlaced: c.stats.placed.Load(), PayloadSpliced: c.stats.spliced.Load(), PayloadCopied: c.stats.copied.Load()}
}
