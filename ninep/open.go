package ninep

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// openFlags maps the host's O_* to the protocol's: the two differ on some machines, arm64 among them.
var openFlags = []struct {
	host int
	wire uint32
}{
	{unix.O_CREAT, OpenCreate},
	{unix.O_EXCL, OpenExcl},
	{unix.O_NOCTTY, OpenNoctty},
	{unix.O_TRUNC, OpenTrunc},
	{unix.O_APPEND, OpenAppend},
	{unix.O_NONBLOCK, OpenNonblock},
	{unix.O_DSYNC, OpenDsync},
	{unix.O_DIRECT, OpenDirect},
	{unix.O_LARGEFILE, OpenLarge},
	{unix.O_DIRECTORY, OpenDirectory},
	{unix.O_NOFOLLOW, OpenNofollow},
	{unix.O_NOATIME, OpenNoatime},
	{unix.O_CLOEXEC, OpenCloexec},
	{unix.O_SYNC &^ unix.O_DSYNC, OpenSync},
}

// wireFlags translates the host's open flags. Flags that the protocol does not know are left out.
func wireFlags(flags uint32) uint32 {
	wire := flags & unix.O_ACCMODE
	for _, f := range openFlags {
		if f.host != 0 && flags&uint32(f.host) == uint32(f.host) {
			wire |= f.wire
		}
	}
	return wire
}

// Open opens the file; flags are the host's O_*. A fid is opened once; when Open was cancelled it may be open or not
// and is good for nothing but to be ended.
func (f *Fid) Open(ctx context.Context, flags uint32) error {
	if f.isOpen() {
		return f.fail("lopen", unix.EINVAL)
	}
	err := f.session.do(ctx, func(l *link, _ bool) error { return f.openOn(ctx, l, wireFlags(flags)) })
	return f.fail("lopen", err)
}

func (f *Fid) openOn(ctx context.Context, l *link, flags uint32) error {
	return l.roundTrip(ctx, f.lopen(flags))
}

// lopen is the request that opens the fid; flags are 9P's.
func (f *Fid) lopen(flags uint32) request {
	var reply Rlopen
	return request{
		message: &Tlopen{Fid: f.number, Flags: flags}, reply: &reply, fids: [2]*Fid{f},
		settle: func(err error) {
			if err == nil {
				f.opened(reply.QID, reply.IOUnit, flags)
			}
		},
	}
}

// opened records that the server has opened the fid.
func (f *Fid) opened(qid QID, iounit, flags uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.qid, f.open, f.iounit, f.flags, f.position = qid, true, iounit, flags, nil
}

// Create makes a regular file in this directory and opens it, and the fid becomes the file's: give it a clone from
// Walk. flags are the host's O_*; O_CREAT goes without saying, and O_EXCL must be among them for the name to be new.
func (f *Fid) Create(ctx context.Context, name string, flags, mode, gid uint32) error {
	if err := checkName(name); err != nil {
		return f.fail("lcreate", err, name)
	}
	if f.isOpen() {
		return f.fail("lcreate", unix.EINVAL, name)
	}
	t := &Tlcreate{Fid: f.number, Name: name, Flags: wireFlags(flags) | OpenCreate, Mode: mode, GID: gid}
	there := false
	err := f.session.do(ctx, func(l *link, again bool) error {
		var err error
		if !there {
			err = f.createOn(ctx, l, t)
			if !errors.Is(err, unix.EEXIST) || !again && t.Flags&OpenExcl != 0 {
				return err
			}
			// The Tlcreate whose connection was lost is taken to have made it; and Tcreate refuses any name that
			// exists. Once the fid is the file's it stays so, should the connection be lost again.
			err = f.walkOn(ctx, l, f, []string{name})
			there = err == nil
		}
		if there {
			err = f.openOn(ctx, l, t.Flags&^(OpenCreate|OpenExcl))
		}
		return err
	})
	return f.fail("lcreate", err, name)
}

func (f *Fid) createOn(ctx context.Context, l *link, t *Tlcreate) error {
	var reply Rlcreate
	return l.roundTrip(ctx, request{
		message: t, reply: &reply, fids: [2]*Fid{f},
		settle: func(err error) {
			if err != nil {
				return
			}
			f.arrive(l, f, []string{t.Name}, reply.QID)
			f.opened(reply.QID, reply.IOUnit, t.Flags)
		},
	})
}
