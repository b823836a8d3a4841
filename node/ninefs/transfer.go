package ninefs

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// transfer is one READ or WRITE on its way. Transfers are used again, so that none is allocated for each request.
type transfer struct {
	waiter
	io   ninep.IO
	node *node
	head [fuse.PipeHeadSize]byte // of a READ's answer, for the pipe that the payload may come in

	lent interface{ Release() } // the memory of io.Buf, unless r has it: the server's until the transfer ends; guarded by mu
}

var transfers = sync.Pool{New: func() any {
	t := new(transfer)
	t.init(t.giveUp)
	return t
}}

// newTransfer prepares a transfer for a request.
func newTransfer(r *fuse.Request, n *node, buf []byte, off uint64, done func(*ninep.IO)) *transfer {
	t := transfers.Get().(*transfer)
	t.begin(r)
	t.node = n
	t.io.Buf, t.io.Offset, t.io.Done, t.io.Owner, t.io.LostTimeout = buf, int64(off), done, t, 0
	t.io.Prefix, t.io.End = nil, 0
	return t
}

// giveUp answers a caller whose server does not, and may not answer Tflush either.
func (t *transfer) giveUp() {
	t.mu.Lock()
	live := t.live
	t.live = false
	if live && t.lent == nil {
		t.borrow()
		if t.r.Opcode() == fuse.OpWrite {
			t.node.wrote(0, t.writesBack()) // or not: nobody knows
		}
	}
	t.mu.Unlock()
	if live {
		t.r.ReplyError(unix.EINTR)
		t.io.Cancel()
	}
}

// borrow takes over the request's memory. The caller holds mu.
func (t *transfer) borrow() {
	if b := t.r.TakeBuffer(); b != nil {
		t.lent = b
	}
}

// leave is called after the answer by who ends the transfer.
func (t *transfer) leave() {
	t.giveBack()
	t.drop()
}

// giveBack ends what was lent.
func (t *transfer) giveBack() {
	t.mu.Lock()
	lent := t.lent
	t.lent = nil
	t.mu.Unlock()
	if lent != nil {
		lent.Release()
	}
}

func (t *transfer) drop() {
	if t.unused() {
		t.r, t.node, t.io.Buf = nil, nil, nil
		transfers.Put(t)
	}
}

// read starts a READ.
func (fs *FS) read(r *fuse.Request) {
	in := fuse.In[fuse.ReadIn](r)
	h := fs.handles.get(in.Fh)
	if h == nil {
		r.ReplyError(unix.EBADF)
		return
	}
	if in.Size == 0 {
		r.ReplyData(nil)
		return
	}
	if room := r.Room(); room != nil {
		fs.startRead(r, h, room, nil)
		return
	}
	if !h.readPrefetched(r) {
		fs.readFromServer(r, h)
	}
}

// readFromServer has the data land in a slot. Without one at hand the READ queues for it.
func (fs *FS) readFromServer(r *fuse.Request, h *handle) {
	in := fuse.In[fuse.ReadIn](r)
	slot := fs.o.Arena.TryGet(int(in.Size))
	if slot == nil {
		fs.readers.submit(r)
		return
	}
	fs.startRead(r, h, slot.Bytes(), slot)
}

// readLater is a READ that has to wait for a slot.
func (fs *FS) readLater(r *fuse.Request) {
	in := fuse.In[fuse.ReadIn](r)
	ctx, done := fs.patience(r)
	slot, err := fs.o.Arena.Get(ctx, int(in.Size))
	done()
	h := fs.handles.get(in.Fh)
	switch {
	case err != nil && fs.ctx.Err() == nil && errors.Is(err, context.Canceled):
		r.ReplyError(unix.EINTR)
	case err != nil:
		r.ReplyError(unix.EIO)
	case h == nil:
		slot.Release()
		r.ReplyError(unix.EBADF)
	default:
		fs.startRead(r, h, slot.Bytes(), slot)
	}
}

// startRead has the data land in buf, which is lent for it; by nobody if it is the request's.
func (fs *FS) startRead(r *fuse.Request, h *handle, buf []byte, lent interface{ Release() }) {
	in := fuse.In[fuse.ReadIn](r)
	t := newTransfer(r, h.node, buf[:in.Size], in.Offset, readDone)
	t.lent = lent
	t.io.End = h.node.endWithin(in.Offset, in.Offset+uint64(in.Size), fs.ttl)
	if r.PutPipeHead(&t.head, int(in.Size)) {
		t.io.Prefix = t.head[:]
	}
	h.fid.StartRead(&t.io)
	t.started()
	t.drop()
}

func readDone(io *ninep.IO) {
	t := io.Owner.(*transfer)
	switch live := t.ended(); {
	case io.Pipe != nil:
		t.answerPiped(live)
	case !live:
	case io.Err != nil:
		// Less than asked for would say that the file ends there.
		t.r.ReplyError(errnoOf(io.Err))
	default:
		t.r.ReplyData(io.Buf[:io.N])
	}
	t.leave()
}

// answerPiped answers a READ whose payload is in a pipe, if it still wants its answer.
func (t *transfer) answerPiped(live bool) {
	pipe := t.io.Pipe
	t.io.Pipe = nil
	empty := false
	if live {
		read, _ := pipe.Ends()
		empty = t.r.ReplyPipe(read, t.io.N)
	}
	pipe.Release(empty)
}

// write starts a WRITE. One that something has to be done before goes to a worker: see [FS.writeLater].
func (fs *FS) write(r *fuse.Request) {
	in := fuse.In[fuse.WriteIn](r)
	h := fs.handles.get(in.Fh)
	if h == nil {
		r.ReplyError(unix.EBADF)
		return
	}
	if fs.mayMissEnd(in, h) || fs.mayLeavePrivileges(in, h) {
		fs.appenders.submit(r)
		return
	}
	fs.startWrite(r, h, in.Offset, fs.writeDone(h))
}

// mayMissEnd reports whether a WRITE through an O_APPEND handle is to go to an end of the file that may not be where the kernel
// takes it to be: another client may have moved it, but in Loose.
func (fs *FS) mayMissEnd(in *fuse.WriteIn, h *handle) bool {
	return in.Flags&unix.O_APPEND != 0 && in.WriteFlags&fuse.WriteCache == 0 && fs.o.Cache != Loose && !h.node.endsAt(in.Offset, fs.ttl)
}

// mayLeavePrivileges reports whether a WRITE would leave a setuid or setgid bit standing.
func (fs *FS) mayLeavePrivileges(in *fuse.WriteIn, h *handle) bool {
	return in.WriteFlags&fuse.WriteKillSUIDGID != 0 && fs.privileged(h.node.mode())
}

func (fs *FS) startWrite(r *fuse.Request, h *handle, off uint64, done func(*ninep.IO)) {
	t := newTransfer(r, h.node, r.Payload(), off, done)
	if fuse.In[fuse.WriteIn](r).WriteFlags&fuse.WriteCache != 0 {
		t.io.LostTimeout = fs.o.WritebackTimeout
	}
	h.fid.StartWrite(&t.io)
	t.started()
	t.drop()
}

func writeDone(io *ninep.IO) {
	t := io.Owner.(*transfer)
	if t.ended() {
		t.answerWrite()
	}
	t.leave()
}

func (t *transfer) answerWrite() {
	io := &t.io
	if io.N > 0 {
		t.node.wrote(uint64(io.Offset)+uint64(io.N), t.writesBack())
	}
	if io.Err != nil && (io.N == 0 || t.writesBack()) {
		// Of write-back the kernel looks at nothing but the error.
		t.r.ReplyError(errnoOf(io.Err))
		return
	}
	t.r.ReplyWrite(uint32(io.N))
}

// writesBack reports whether a WRITE is of pages that the kernel had.
func (t *transfer) writesBack() bool {
	return fuse.In[fuse.WriteIn](t.r).WriteFlags&fuse.WriteCache != 0
}

// writeLater is a WRITE that something has to be done before.
func (fs *FS) writeLater(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.WriteIn](r)
	h, err := fs.handleOf(in.Fh)
	if err != nil {
		return err
	}
	if fs.mayLeavePrivileges(in, h) {
		err := fs.onNode(ctx, h.node, h.uid, func(f *ninep.Fid) error { return fs.dropPrivileges(ctx, f, h.node, h.node.mode()) })
		if err != nil && !isGone(err) { // nobody can run a program that the server does not find any more
			return err
		}
	}
	if fs.mayMissEnd(in, h) {
		return fs.append(ctx, r, h)
	}
	fs.startWrite(r, h, in.Offset, fs.writeDone(h))
	return nil
}

// append is a WRITE to where the file ends on the server now. Two clients that append at the same moment can still overwrite
// each other: 9P has no message that would say where a write went.
func (fs *FS) append(ctx context.Context, r *fuse.Request, h *handle) error {
	in := fuse.In[fuse.WriteIn](r)
	attr, err := fs.attrThrough(ctx, h)
	if err != nil {
		return err
	}
	h.node.measured(attr.Size)
	done := writeDone
	if attr.Size != in.Offset && fs.o.Cache != CacheNone {
		// The kernel puts the data at the wrong place in its pages, which it holds locked until the answer.
		id := h.node.id
		done = func(io *ninep.IO) {
			writeDone(io)
			fs.pool.post(func() { fs.notify(fs.ctx, id) })
		}
	}
	fs.startWrite(r, h, attr.Size, done)
	return nil
}
