package ninefs

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// With write-back the kernel takes the size and the times of a regular file from the server once, when it gets a node id for
// it. From then on it goes by its own, and tells them (fuse_get_cache_mask and fuse_flush_times of Linux 6.18).

// settled is how long a node is right whatever the server says: between LOOKUP and OPEN of a file that somebody else writes
// all the time there always was a change.
const settled = time.Second

// outdated compares what the server says of a file with what the kernel knows of it, and reports whether somebody else changed
// it. busy: this mount has it open for writing, so that every change may be its own.
func (n *node) outdated(a ninep.Attr, epoch uint64, busy bool) bool {
	c := &n.content
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s := stampOf(a); {
	case busy, c.epoch != epoch:
		return false
	case c.written:
		c.seen, c.written = s, false
		return false
	default:
		return c.seen != s && time.Since(c.since) > settled
	}
}

// rebase is told what a file is like after a change of this mount: if there was none since epoch it is what the kernel knows of
// it.
func (n *node) rebase(a ninep.Attr, epoch uint64) {
	c := &n.content
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		c.seen, c.written = stampOf(a), false
	}
}

// timed is told that the server has set the kernel's modification time, asked for at epoch. A WRITE that has ended since may have
// been carried out after that: sync(2) and the kernel's own write-back flush times beside WRITEs (__writeback_single_inode).
func (n *node) timed(mtime ninep.Timespec, epoch uint64) {
	c := &n.content
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mtime = mtime
	if c.epoch == epoch {
		c.retime = false
	}
}

// retiming returns the kernel's modification time of a file, and whether the server may have another one: a write within the tick
// of that time, which it was told or set last, does not change it, so that none is flushed (file_update_time; a tick takes
// milliseconds), and one that was flushed may have been followed by a WRITE.
func (n *node) retiming() (mtime ninep.Timespec, due bool) {
	c := &n.content
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mtime, c.retime
}

// retime sets it when a file or a mapping of it is closed. If that fails the server's own stands.
func (fs *FS) retime(ctx context.Context, h *handle) {
	mtime, due := h.node.retiming()
	if fs.o.Cache != Loose || !due {
		return
	}
	ctx = ninep.WithLostTimeout(ctx, fs.o.WritebackTimeout)
	set := func(f *ninep.Fid) error {
		_, _, err := fs.change(ctx, h.node, f, ninep.SetAttr{Valid: ninep.SetMtime | ninep.SetMtimeGiven, Mtime: mtime})
		return err
	}
	if fs.o.Attach != nil {
		_ = set(h.fid)
		return
	}
	_ = fs.onNode(ctx, h.node, h.uid, set)
}

// outdated reports whether a file that nobody here has open was changed by somebody else, in Loose, where it should not be.
func (fs *FS) outdated(n *node, a ninep.Attr, epoch uint64) bool {
	if fs.o.Cache != Loose || n.file.format != unix.S_IFREG {
		return false
	}
	h := fs.handles.of(n)
	return n.outdated(a, epoch, h != nil && h.writable()) && h == nil
}

// replaceOutdated gives a file whose node is outdated another one, of which the kernel learns all anew.
func (fs *FS) replaceOutdated(known acquaintance, a ninep.Attr) {
	if n := known.node; n != nil && n.is(a) && fs.outdated(n, a, known.epoch) {
		fs.tree.retire(n, fs.fids.keep)
	}
}

// replyMissing answers a LOOKUP of a name that is not there, which may be remembered (fuse_lookup_name).
func (fs *FS) replyMissing(r *fuse.Request) {
	var out fuse.EntryOut
	out.EntryValid, out.EntryValidNsec = split(fs.ttl)
	r.ReplyEntry(&out)
}

// Flush has the kernel write back what it has of the files that are open for writing, and waits for it until ctx ends. Who still
// has one open may write on.
func (fs *FS) Flush(ctx context.Context) {
	if fs.o.Cache != Loose {
		return
	}
	done := make(chan struct{})
	go func() { // ends with the answers to the WRITEs, or the connection
		defer close(done)
		for _, h := range fs.handles.all() {
			if h.writable() {
				fs.notify(ctx, h.node.id) // dirty pages are written before they are dropped (invalidate_inode_pages2_range)
			}
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// flushesTimes reports whether a SETATTR is, or looks like, the end of write-back: nobody is interrupted who waits for it.
func (fs *FS) flushesTimes(in *fuse.SetattrIn) bool {
	return fs.o.Cache == Loose && in.Valid&^fuse.SetattrFh == fuse.SetattrMtime|fuse.SetattrCtime
}

// apply changes attributes. In Loose the kernel's modification time comes along with a new size, or alone after write-back. Of a
// server that checks permissions only a file's owner may set it: then the time at which it was written there has to do.
func (fs *FS) apply(ctx context.Context, fid *ninep.Fid, change ninep.SetAttr) error {
	err := fid.Setattr(ctx, change)
	if fs.o.Cache != Loose || change.Valid&ninep.SetMtimeGiven == 0 || !ninep.IsErrno(err, unix.EPERM, unix.EACCES) {
		return err
	}
	if change.Valid &^= ninep.SetMtime | ninep.SetMtimeGiven; change.Valid == 0 {
		return nil
	}
	return fid.Setattr(ctx, change)
}

// countBlocks lets no file that is being written seem to be a hole because its blocks are not on the server yet: tar --sparse
// stores such a file as nothing.
func (fs *FS) countBlocks(n *node, a *ninep.Attr) {
	if fs.o.Cache != Loose || a.Blocks > 0 || n.file.format != unix.S_IFREG {
		return
	}
	if h := fs.handles.of(n); h != nil && h.writable() {
		a.Blocks = 1
	}
}
