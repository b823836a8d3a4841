package ninep

// Prefetch is a read of the beginning of a file that goes out with its open, or right behind it. Nobody waits for it, and it fails
// rather than outlive its connection. It is the caller's, and not to be touched until Done.
type Prefetch struct {
	Buf []byte // lent to the transport until Done, one message's worth at most
	// Done is called once, from any goroutine, also that of the open, and must not block. A short read is not the end of the file.
	Done func(n int, err error)
	n    int
}

// prefetch is the Tread.
func (f *Fid) prefetch(p *Prefetch) request {
	return request{
		message: &Tread{Fid: f.number, Count: uint32(len(p.Buf))}, in: p.Buf, count: &p.n, fids: [2]*Fid{f}, alone: true,
		settle: func(err error) { p.Done(p.n, err) },
	}
}
