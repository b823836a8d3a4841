package ninep

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxXattr is the most that an attribute, or the list of their names, can have on Linux (XATTR_SIZE_MAX,
// XATTR_LIST_MAX in include/uapi/linux/limits.h).
const maxXattr = 64 << 10

// ListXattr lists the names of the file's extended attributes.
func (f *Fid) ListXattr(ctx context.Context) ([]string, error) {
	list, err := f.readXattr(ctx, "")
	if err != nil {
		return nil, f.fail("listxattr", err)
	}
	var names []string
	for name := range bytes.SplitSeq(list, []byte{0}) {
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names, nil
}

// GetXattr reads an extended attribute. ENODATA: there is none of that name.
func (f *Fid) GetXattr(ctx context.Context, name string) ([]byte, error) {
	op := "getxattr " + name
	if err := checkXattrName(name); err != nil {
		return nil, f.fail(op, err)
	}
	value, err := f.readXattr(ctx, name)
	return value, f.fail(op, err)
}

// SetXattr writes an extended attribute; flags are [XattrCreate], [XattrReplace] or 0. An empty value cannot be told
// from a removal by every server: see RemoveXattr.
func (f *Fid) SetXattr(ctx context.Context, name string, value []byte, flags uint32) error {
	op := "setxattr " + name
	if err := checkXattrName(name); err != nil {
		return f.fail(op, err)
	}
	if len(value) > maxXattr {
		return f.fail(op, unix.E2BIG)
	}
	return f.fail(op, f.writeXattr(ctx, name, value, flags))
}

// RemoveXattr removes an extended attribute. 9P2000.L has no message for it: as Linux's client does, it writes one of
// size 0 with XattrReplace (fs/9p/xattr.c).
func (f *Fid) RemoveXattr(ctx context.Context, name string) error {
	op := "removexattr " + name
	if err := checkXattrName(name); err != nil {
		return f.fail(op, err)
	}
	return f.fail(op, f.writeXattr(ctx, name, nil, XattrReplace))
}

func checkXattrName(name string) error {
	if name == "" || len(name) > MaxName || bytes.IndexByte([]byte(name), 0) >= 0 {
		return unix.ERANGE // as setxattr(2)
	}
	return nil
}

// xattrFid makes try with a fid of its own, which is dropped after it: one bound to an attribute cannot be bound again
// on another connection, so that every try starts over.
func (f *Fid) xattrFid(ctx context.Context, try func(l *link, n *Fid, again bool) error) error {
	xattr := &f.session.features.xattr
	if xattr.load() == Unsupported {
		return unix.EOPNOTSUPP
	}
	return f.session.do(ctx, func(l *link, again bool) error {
		n, err := f.session.newFid(f.volume)
		if err != nil {
			return err
		}
		defer n.Drop()
		return try(l, n, again)
	})
}

// readXattr reads an attribute, or the list of names for the name "".
func (f *Fid) readXattr(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := f.xattrFid(ctx, func(l *link, n *Fid, _ bool) error {
		var reply Rxattrwalk
		err := l.roundTrip(ctx, request{
			message: &Txattrwalk{Fid: f.number, NewFid: n.number, Name: name}, reply: &reply, fids: [2]*Fid{f, n},
			settle: n.settleXattr(l),
		})
		f.learnXattr(name, err)
		if err != nil {
			return err
		}
		if reply.Size > maxXattr {
			return fmt.Errorf("%w: an extended attribute of %d bytes", ErrMalformed, reply.Size)
		}
		value = make([]byte, reply.Size)
		return n.readAll(ctx, l, value)
	})
	return value, err
}

// learnXattr takes the answer to a message about an attribute. EOPNOTSUPP may be true of this one name only, unless it
// was about the list.
func (f *Fid) learnXattr(name string, err error) {
	if errors.Is(err, unix.EOPNOTSUPP) && name != "" {
		return
	}
	f.session.features.xattr.learn(err)
}

// settleXattr records what became of a message that makes the fid an attribute's. An errno tells nothing of the fid's number:
// ERANGE is also the answer about an attribute that grows meanwhile (getxattr(2)).
func (f *Fid) settleXattr(l *link) func(error) {
	return func(err error) {
		if err == nil || isUnanswered(err) {
			f.maybeBind(l)
		}
	}
}

// readAll fills buf from the start of an attribute.
func (f *Fid) readAll(ctx context.Context, l *link, buf []byte) error {
	for off := 0; off < len(buf); {
		in := buf[off:min(len(buf), off+f.MaxPayload())]
		got, err := l.fill(ctx, request{
			message: &Tread{Fid: f.number, Offset: uint64(off), Count: uint32(len(in))}, in: in, fids: [2]*Fid{f},
		})
		if err != nil {
			return err
		}
		if got == 0 {
			return fmt.Errorf("%w: an extended attribute ends after %d bytes of %d", ErrMalformed, off, len(buf))
		}
		off += got
	}
	return nil
}

// writeXattr writes an attribute: the server takes it over at Tclunk, whose error is the outcome.
func (f *Fid) writeXattr(ctx context.Context, name string, value []byte, flags uint32) error {
	return f.xattrFid(ctx, func(l *link, n *Fid, again bool) error {
		err := f.writeXattrOn(ctx, l, n, name, value, flags)
		created := flags == XattrCreate && errors.Is(err, unix.EEXIST)
		removed := flags == XattrReplace && len(value) == 0 && errors.Is(err, unix.ENODATA)
		if again && (created || removed) {
			return nil // the try whose connection was lost has done it
		}
		return err
	})
}

func (f *Fid) writeXattrOn(ctx context.Context, l *link, n *Fid, name string, value []byte, flags uint32) error {
	if err := f.walkOn(ctx, l, n, nil); err != nil {
		return err
	}
	n.setSpecial()
	err := l.roundTrip(ctx, request{
		message: &Txattrcreate{Fid: n.number, Name: name, Size: uint64(len(value)), Flags: flags},
		fids:    [2]*Fid{n},
	})
	f.learnXattr(name, err)
	if err != nil {
		return err
	}
	if err := n.writeAll(ctx, l, value); err != nil {
		return err
	}
	return n.clunk(ctx)
}

// setSpecial keeps the fid from being bound again on another connection.
func (f *Fid) setSpecial() {
	f.mu.Lock()
	f.special = true
	f.mu.Unlock()
}

func (f *Fid) writeAll(ctx context.Context, l *link, value []byte) error {
	for off := 0; off < len(value); {
		out := value[off:min(len(value), off+f.MaxPayload())]
		var reply Rwrite
		err := l.roundTrip(ctx, request{
			message: &Twrite{Fid: f.number, Offset: uint64(off), Data: out}, reply: &reply, out: out, fids: [2]*Fid{f},
		})
		if err != nil {
			return err
		}
		if reply.Count == 0 || int(reply.Count) > len(out) {
			return fmt.Errorf("%w: %d bytes written of %d", ErrMalformed, reply.Count, len(out))
		}
		off += int(reply.Count)
	}
	return nil
}
