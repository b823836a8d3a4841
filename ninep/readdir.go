package ninep

import (
	"context"

	"golang.org/x/sys/unix"
)

// Readdir reads entries of the open directory into buf, as many as fit whole, and returns the part of buf that holds
// them, for [NextDirent]; none means the end. offset is 0 for the first, then the Offset of the last entry seen:
// a cookie of the server's, on which no arithmetic is possible. A buf too small for the next entry, of [DirentSize] bytes,
// is EINVAL to most servers and the end to some.
//
// A call that is cancelled returns at once, and buf is not the caller's any more then: the server may write to it still.
func (f *Fid) Readdir(ctx context.Context, offset uint64, buf []byte) ([]byte, error) {
	if len(buf) == 0 {
		return nil, f.fail("readdir", unix.EINVAL)
	}
	var n int
	err := f.session.do(ctx, func(l *link, _ bool) error {
		in := buf[:min(len(buf), f.MaxPayload())]
		var err error
		n, err = l.fill(ctx, request{
			message: &Treaddir{Fid: f.number, Offset: offset, Count: uint32(len(in))},
			in:      in, given: true, fids: [2]*Fid{f},
		})
		return err
	})
	return buf[:n], f.fail("readdir", err)
}
