package ninep

import (
	"context"

	"github.com/csi-9p/csi-9p/transport"
)

// AttachOptions say which tree to attach, and as whom.
type AttachOptions struct {
	UID   uint32 // n_uname, the user by number; NoUID: Uname alone tells
	Uname string
	Aname string // tree of the server; what it means is the server's business
	// MaxPayload is the most payload bytes that one message of these fids carries; 0: what the session takes.
	MaxPayload int
	// Flow bounds what these fids have in flight, payload bytes and messages, together with those of every other Attach of this
	// session that was given it. nil: no bound.
	Flow *transport.Flow
	// Threshold is from how many bytes on a Twrite's payload travels apart from its head, and is not copied; 0: what the
	// transport prefers, 1: always.
	Threshold int
	ZeroCopy  ZeroCopy
	// Meter counts the payload of these fids' messages, together with that of every other Attach that was given it. nil: only the
	// session counts it.
	Meter *Meter
}

// ZeroCopy says how payload travels: the data of Tread, Treaddir and Twrite.
type ZeroCopy uint8

const (
	// ZeroCopyAuto leaves it to the transport, which gets payload of Threshold bytes and more where it lies.
	ZeroCopyAuto ZeroCopy = iota
	// ZeroCopyOff copies every payload into its message before that is sent, and out of it once that has come whole. The
	// caller's memory is lent as long as otherwise.
	ZeroCopyOff
)

// Attach binds a fid to the root of a tree. Fids walked from it inherit its limits.
func (s *Session) Attach(ctx context.Context, o AttachOptions) (*Fid, error) {
	v := &volume{options: o}
	f, err := s.newFid(v)
	if err == nil {
		err = s.do(ctx, func(l *link, _ bool) error { return f.attachOn(ctx, l) })
	}
	if err != nil {
		if f != nil {
			f.Drop()
		}
		return nil, newError("attach", o.Aname, err)
	}
	return f, nil
}

// attachOn binds the fid to the root of its volume.
func (f *Fid) attachOn(ctx context.Context, l *link) error {
	o := &f.volume.options
	var reply Rattach
	return l.roundTrip(ctx, request{
		message: &Tattach{Fid: f.number, Afid: NoFID, Uname: o.Uname, Aname: o.Aname, UID: o.UID},
		reply:   &reply,
		fids:    [2]*Fid{f},
		settle: func(err error) {
			switch {
			case err == nil:
				f.bind(l, reply.QID, f.session.places.root(o.Aname))
			case isUnanswered(err):
				f.maybeBind(l)
			default:
				f.refused(err)
			}
		},
	})
}
