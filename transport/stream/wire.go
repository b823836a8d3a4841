package stream

import "net"

// wire moves bytes to and from the peer. One goroutine sends at a time and one
// receives.
type wire interface {
	// send writes what is left of the batch. Without wait it stops where the
	// peer would have to be waited for and leaves the rest in the batch.
	send(b *batch, wait bool) error
	// recv waits until there is something, reads it into p and what does not
	// fit there into ahead(), and returns how many bytes that was together. ahead is
	// asked when there is something to read, at the earliest.
	recv(p []byte, ahead func() []byte) (int, error)
}

// plain is the wire of a net.Conn that offers nothing but Read and Write, and
// perhaps to write several buffers at once, as TLS does (package mtls).
type plain struct {
	conn    net.Conn
	buffers buffersWriter // nil without
}

// buffersWriter writes parts one after the other and returns how many bytes of
// them were taken.
type buffersWriter interface {
	WriteBuffers(parts [][]byte) (int64, error)
}

func newPlain(c net.Conn) *plain {
	w := &plain{conn: c}
	w.buffers, _ = c.(buffersWriter)
	return w
}

// send writes nothing without wait: Write cannot be kept from blocking.
func (w *plain) send(b *batch, wait bool) error {
	if !wait {
		return nil
	}
	for b.left() {
		n, err := w.write(b.parts)
		b.written(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes the first part at least, unless it fails.
func (w *plain) write(parts [][]byte) (int, error) {
	if w.buffers == nil {
		return w.conn.Write(parts[0])
	}
	n, err := w.buffers.WriteBuffers(parts)
	return int(n), err
}

func (w *plain) recv(p []byte, ahead func() []byte) (int, error) {
	if len(p) == 0 {
		p = ahead()
	}
	n, err := w.conn.Read(p)
	if n > 0 {
		return n, nil // bytes may come beside an error (crypto/tls), which the next Read brings again
	}
	return 0, err
}
