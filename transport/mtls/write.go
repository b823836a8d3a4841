package mtls

// maxRecord is the most plain text of a record (RFC 8446, 5.1).
const maxRecord = 16 << 10

// WriteBuffers writes parts one after the other and returns how many bytes of
// them were sent. What is short shares records, as each costs a system call and
// both ends a seal; whole records of a long part are sealed from where it lies.
// One call at a time.
func (c *Conn) WriteBuffers(parts [][]byte) (sent int64, err error) {
	c.record = c.record[:0]
	for _, p := range parts {
		for len(p) > 0 && err == nil {
			if whole := len(p) - len(p)%maxRecord; len(c.record) == 0 && whole > 0 {
				err = c.write(p[:whole], &sent)
				p = p[whole:]
				continue
			}
			n := min(len(p), maxRecord-len(c.record))
			c.record = append(c.record, p[:n]...)
			p = p[n:]
			if len(c.record) == maxRecord {
				err = c.flush(&sent)
			}
		}
	}
	if err == nil && len(c.record) > 0 {
		err = c.flush(&sent)
	}
	return sent, err
}

func (c *Conn) flush(sent *int64) error {
	err := c.write(c.record, sent)
	c.record = c.record[:0]
	return err
}

func (c *Conn) write(p []byte, sent *int64) error {
	n, err := c.Write(p)
	*sent += int64(n)
	return err
}
