package ninep

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
)

// The client thinks in 9P2000.L. What follows, here and in the files named classic_, says the same in 9P2000.u and 9P2000, one
// request of 9P2000.L by one or several of theirs.

// translate is exchange for a request in 9P2000.L's words on a link that speaks another dialect. What that has no words for is
// EOPNOTSUPP.
func (l *link) translate(ctx context.Context, r request) (int, error) {
	switch m := r.message.(type) {
	case *Tattach:
		return 0, l.attachClassic(ctx, r, *m)
	case *Tlopen:
		return 0, l.openClassic(ctx, r, m)
	case *Tlcreate:
		return 0, l.createClassic(ctx, r, m)
	case *Tgetattr:
		return 0, l.getattrClassic(ctx, r)
	case *Tsetattr:
		return 0, l.setattrClassic(ctx, r, &m.SetAttr)
	case *Tfsync:
		return 0, l.fsyncClassic(ctx, r, m)
	case *Treadlink:
		return 0, l.readlinkClassic(ctx, r)
	case *Treaddir:
		return l.readdirClassic(ctx, r, m.Offset)
	case *Trename:
		return 0, l.renameClassic(ctx, r, m)
	case *Tmkdir, *Tsymlink, *Tmknod, *Tlink:
		return 0, l.makeClassic(ctx, r)
	}
	if !l.dialect.has(r.message.Type()) {
		if r.settle != nil {
			r.settle(unix.EOPNOTSUPP)
		}
		return 0, unix.EOPNOTSUPP
	}
	return l.exchange(ctx, r)
}

// as sends a message in place of the request's, whose outcome is the request's: filled, unless nil, makes the request's reply of
// the other one before anyone is told.
func (l *link) as(ctx context.Context, r request, m, reply Message, filled func()) error {
	settle := r.settle
	r.message, r.reply = m, reply
	r.settle = func(err error) {
		if err == nil && filled != nil {
			filled()
		}
		if settle != nil {
			settle(err)
		}
	}
	_, err := l.exchange(ctx, r)
	return err
}

// fsyncClassic makes a file durable by a Twstat that changes nothing (stat(5)). No reply is success: QEMU's device completes the
// request with the 0 of its fsync(2) as the reply's length, and answers a failure (hw/9pfs/9p.c, v9fs_wstat).
func (l *link) fsyncClassic(ctx context.Context, r request, m *Tfsync) error {
	err := l.as(ctx, r, &Twstat{Fid: m.Fid, Stat: UntouchedStat()}, nil, nil)
	if errors.Is(err, transport.ErrNoReply) {
		return nil
	}
	return err
}

// attachClassic names the user where the protocol has no number for one.
func (l *link) attachClassic(ctx context.Context, r request, m Tattach) error {
	if l.dialect == DialectLegacy && m.Uname == "" && m.UID != NoUID {
		m.Uname = r.fids[0].session.owners.name(m.UID, false)
	}
	return l.as(ctx, r, &m, r.reply, nil)
}
