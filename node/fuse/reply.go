package fuse

import (
	"golang.org/x/sys/unix"
)

// ReplyError answers with an error. Interrupted requests are answered with EINTR.
func (r *Request) ReplyError(errno unix.Errno) { r.reply(errno, 0, nil) }

// ReplyOK answers a request that has no result, such as UNLINK, RENAME, RELEASE or FSYNC.
func (r *Request) ReplyOK() { r.reply(0, 0, nil) }

// ReplyEntry answers LOOKUP, MKNOD, MKDIR, SYMLINK and LINK. A NodeID other than 0 counts as one lookup of the node.
func (r *Request) ReplyEntry(e *EntryOut) {
	*result[EntryOut](r) = *e
	r.reply(0, entrySize, nil)
}

// ReplyAttr answers GETATTR and SETATTR.
func (r *Request) ReplyAttr(a *AttrOut) {
	*result[AttrOut](r) = *a
	r.reply(0, attrSize, nil)
}

// ReplyOpen answers OPEN and OPENDIR.
func (r *Request) ReplyOpen(o *OpenOut) {
	*result[OpenOut](r) = *o
	r.reply(0, openSize, nil)
}

// ReplyCreate answers CREATE and TMPFILE.
func (r *Request) ReplyCreate(e *EntryOut, o *OpenOut) {
	*result[EntryOut](r) = *e
	*view[OpenOut](bytesOf(r.out[:])[outHeaderSize+entrySize:]) = *o
	r.reply(0, entrySize+openSize, nil)
}

// ReplyWrite answers WRITE with the number of bytes written.
func (r *Request) ReplyWrite(n uint32) {
	*result[WriteOut](r) = WriteOut{Size: n}
	r.conn.counters.written.Add(uint64(n))
	r.reply(0, writeOutSize, nil)
}

// ReplyData answers READ, READDIR, READDIRPLUS, READLINK, GETXATTR and LISTXATTR with b, which is the caller's again on
// return. It must not be longer than asked for.
func (r *Request) ReplyData(b []byte) { r.reply(0, 0, b) }

// PipeHeadSize is the length of what [Request.PutPipeHead] makes.
const PipeHeadSize = outHeaderSize

// PutPipeHead makes, in head, what has to stand in a pipe before n bytes of data for [Request.ReplyPipe]. It reports false, and
// makes nothing, where no reply can come from a pipe.
func (r *Request) PutPipeHead(head *[PipeHeadSize]byte, n int) bool {
	if r.entry != nil || !r.conn.loop.splices() {
		return false
	}
	putOutHeader(head[:], OutHeader{Len: uint32(PipeHeadSize + n), Unique: r.Header().Unique})
	return true
}

// ReplyPipe answers READ with the n bytes in a pipe, given by its reading end, that follow their head there. It reports whether
// the pipe is empty now. The kernel copies them from where they are to the reader's memory (fuse_dev_splice_write). If it does
// not take them, because it is short of memory or there are fewer, the answer is EIO.
func (r *Request) ReplyPipe(pipe, n int) (empty bool) {
	r.settle()
	r.conn.counters.reply(r.Opcode(), 0, n)
	r.pipe, r.piped = pipe, PipeHeadSize+n
	r.conn.loop.reply(r)
	empty = r.errno == 0
	if r.piped = 0; !empty {
		r.put(unix.EIO, 0, nil)
	}
	r.finish()
	return empty
}

// sendTo writes the reply to the device.
func (r *Request) sendTo(fd uintptr) {
	if r.piped > 0 {
		r.errno = splice(r.pipe, fd, r.piped)
		return
	}
	r.errno = writev(fd, r.iov[:r.iovs])
}

// ReplyStatfs answers STATFS.
func (r *Request) ReplyStatfs(s *StatfsOut) {
	*result[StatfsOut](r) = *s
	r.reply(0, statfsSize, nil)
}

// ReplyXattrSize answers GETXATTR and LISTXATTR of size 0 with the size in bytes.
func (r *Request) ReplyXattrSize(n uint32) {
	*result[GetxattrOut](r) = GetxattrOut{Size: n}
	r.reply(0, getxattrOutSize, nil)
}

// ReplyLock answers GETLK with the lock in the way, or one of type F_UNLCK.
func (r *Request) ReplyLock(l *FileLock) {
	*result[FileLock](r) = *l
	r.reply(0, fileLockSize, nil)
}

// replyInit answers INIT.
func (r *Request) replyInit(o *InitOut) {
	*result[InitOut](r) = *o
	r.reply(0, initOutSize, nil)
}

// NoReply ends FORGET and BATCH_FORGET, which the kernel wants no answer to.
func (r *Request) NoReply() {
	r.settle()
	r.finish()
}

// result returns the place of a reply's argument.
func result[T any](r *Request) *T { return view[T](bytesOf(r.out[:])[outHeaderSize:]) }

// reply sends errno, or the args bytes of result and payload, and ends the request.
func (r *Request) reply(errno unix.Errno, args int, payload []byte) {
	r.settle()
	r.put(errno, args, payload)
	r.finish()
}

// put lays out a reply and sends it.
func (r *Request) put(errno unix.Errno, args int, payload []byte) {
	r.conn.counters.reply(r.Opcode(), errno, len(payload))
	n := outHeaderSize + args
	*view[OutHeader](bytesOf(r.out[:])) = OutHeader{
		Len:    uint32(n + len(payload)),
		Error:  -int32(errno),
		Unique: r.Header().Unique,
	}
	setIovec(&r.iov[0], bytesOf(r.out[:])[:n])
	r.iovs = 1
	if len(payload) > 0 {
		setIovec(&r.iov[1], payload)
		r.iovs = 2
	}
	r.conn.loop.reply(r)
	r.iov[1].Base = nil
}

// settle marks the request answered: from here on no INTERRUPT reaches it.
func (r *Request) settle() {
	r.mu.Lock()
	answered := !r.live
	r.live = false
	r.unique.Store(0)
	cancel := r.cancel
	r.cause, r.ctx, r.cancel, r.onInter = nil, nil, nil, nil
	r.mu.Unlock()
	if answered {
		panic("fuse: request answered twice")
	}
	if cancel != nil {
		cancel(nil)
	}
}

// finish gives the request's memory back.
func (r *Request) finish() {
	if r.buf != nil {
		r.buf.Release()
	}
	r.buf, r.in, r.tail, r.name, r.name2, r.payload = nil, nil, nil, nil, nil, nil
	r.conn.done(r)
}
