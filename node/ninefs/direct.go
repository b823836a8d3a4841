package ninefs

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// Direct I/O. The kernel locks a file for each write(2), also with O_DIRECT, so one write is under way at a time, unless it is
// told that the server copes with several (FOPEN_PARALLEL_DIRECT_WRITES, Linux 6.2). Then those that end within the file are sent
// side by side (fuse_dio_lock of Linux 6.18). As on ext4, XFS and NFS it is O_DIRECT that gives up the order of overlapping writes
// of one node: each message is applied whole, but a write(2) of several messages is not.
//
// The flag counts with FOPEN_DIRECT_IO alone. Then kernels before 6.19 and the stable ones of its time leave pages standing that were
// read through another descriptor while the write was under way (b359af8275a9), so [FS.directDone] drops them. An open(2) through the
// page cache waits until no writes are under way side by side (fuse_file_cached_io_open).

// sideBySide reports whether writes of a file that is being opened may pass each other. With O_APPEND they do not, with O_SYNC
// the kernel sees to the fsync only without FOPEN_DIRECT_IO, and in Loose to the times. Where others have the file open through
// the page cache the kernel takes its lock in any case (FUSE_I_CACHE_IO_MODE, Linux 6.9).
func (fs *FS) sideBySide(n *node, flags uint32) bool {
	const other = unix.O_APPEND | unix.O_DSYNC | unix.O_SYNC
	if flags&unix.O_DIRECT == 0 || flags&unix.O_ACCMODE == unix.O_RDONLY || flags&other != 0 {
		return false
	}
	switch fs.o.Cache {
	case CacheNone:
		return true
	case CloseToOpen:
		return fs.mapsDirect.Load() && !fs.handles.cached(n)
	}
	return false
}

// writeDone returns what is called when the server has answered a WRITE through h.
func (fs *FS) writeDone(h *handle) func(*ninep.IO) {
	if fs.o.Cache == CacheNone || h.mode&fuse.OpenParallelDirectWrites == 0 {
		return writeDone
	}
	return fs.direct
}

// directDone ends a WRITE that has passed the page cache by. If somebody reads the file through that, the pages of what was written
// may have been read before, and go before write(2) returns.
func (fs *FS) directDone(io *ninep.IO) {
	t := io.Owner.(*transfer)
	if !fs.handles.cached(t.node) {
		writeDone(io)
		return
	}
	id, n := t.node.id, int64(len(io.Buf))
	t.mu.Lock()
	if t.live {
		t.borrow()
	}
	t.mu.Unlock()
	t.giveBack() // a READ of these pages may be waiting for it
	if !fs.pool.post(func() {
		fs.notifyRange(fs.ctx, id, io.Offset, n)
		writeDone(io)
	}) {
		writeDone(io)
	}
}
