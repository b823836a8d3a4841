package ninep

import (
	"context"

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

// unopened records that the fid is not open after all: the connection was lost that it was opened on, and it has no place to be opened
// at again.
func (f *Fid) unopened() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = false
}
