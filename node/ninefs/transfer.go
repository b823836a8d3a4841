package ninefs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/transport"
)

// transfer is one READ or WRITE on its way. It is started on the goroutine that read the request and answered on the one that
// the server's reply came in on; in between nothing waits for it. Transfers are used again, so that none is allocated for
// each request.
type transfer struct {
	io   ninep.IO
	r    *fuse.Request
	node *node
	slot *transport.Slot // where a READ's data lands; a WRITE's is the request's own

	interrupted func() // t.interrupt, bound once
	users       atomic.Int32
	mu          sync.Mutex
	live        bool        // r is not answered yet
	spent       atomic.Bool // an interrupt may still be looking at it: not to be used again
}

var transfers = sync.Pool{New: func() any {
	t := new(transfer)
	t.interrupted = t.interrupt
	return t
}}

// newTransfer prepares a transfer for a request. It has two users: who starts it and who ends it.
func newTransfer(r *fuse.Request, n *node, buf []byte, off uint64, done func(*ninep.IO)) *transfer {
	t := transfers.Get().(*transfer)
	t.r, t.node, t.live = r, n, true
	t.users.Store(2)
	t.io.Buf, t.io.Offset, t.io.Done, t.io.Owner, t.io.LostTimeout = buf, int64(off), done, t, 0
	return t
}

// started is called when the transfer is under way: from now on an interrupt of the caller reaches it.
func (t *transfer) started() {
	t.mu.Lock()
	early := t.live && !t.r.OnInterrupt(t.interrupted)
	t.mu.Unlock()
	if early {
		t.interrupt()
	}
	t.drop()
}

func (t *transfer) interrupt() {
	t.spent.Store(true)
	time.AfterFunc(grace, func() {
		t.mu.Lock()
		live := t.live
		t.mu.Unlock()
		if live {
			t.io.Cancel()
		}
	})
}

// ended is called before the answer is given: from now on no interrupt reaches the request.
func (t *transfer) ended() {
	t.mu.Lock()
	t.live = false
	if !t.r.Disarm() {
		t.spent.Store(true)
	}
	t.mu.Unlock()
}

func (t *transfer) drop() {
	if t.users.Add(-1) > 0 || t.spent.Load() {
		return
	}
	t.r, t.node, t.slot, t.io.Buf = nil, nil, nil, nil
	transfers.Put(t)
}

// read starts a READ. Without a slot at hand it queues for one.
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
	slot := fs.o.Arena.TryGet(int(in.Size))
	if slot == nil {
		fs.reads.push(r, h)
		return
	}
	startRead(r, h, slot)
}

func startRead(r *fuse.Request, h *handle, slot *transport.Slot) {
	in := fuse.In[fuse.ReadIn](r)
	t := newTransfer(r, h.node, slot.Bytes()[:in.Size], in.Offset, readDone)
	t.slot = slot
	h.fid.StartRead(&t.io)
	t.started()
}

func readDone(io *ninep.IO) {
	t := io.Owner.(*transfer)
	t.ended()
	r, slot := t.r, t.slot
	if io.Err != nil {
		// Less than asked for would say that the file ends there.
		r.ReplyError(errnoOf(io.Err))
	} else {
		r.ReplyData(io.Buf[:io.N])
	}
	slot.Release()
	t.drop()
}

// write starts a WRITE. One through an O_APPEND handle that would miss the end goes to a worker: see [FS.append].
func (fs *FS) write(r *fuse.Request) {
	in := fuse.In[fuse.WriteIn](r)
	h := fs.handles.get(in.Fh)
	if h == nil {
		r.ReplyError(unix.EBADF)
		return
	}
	cached := in.WriteFlags&fuse.WriteCache != 0
	if in.Flags&unix.O_APPEND != 0 && !cached && (fs.o.Cache == CacheNone || h.node.size() != in.Offset) {
		fs.appenders.submit(r)
		return
	}
	t := newTransfer(r, h.node, r.Payload(), in.Offset, writeDone)
	if cached {
		t.io.LostTimeout = fs.o.WritebackTimeout
	}
	h.fid.StartWrite(&t.io)
	t.started()
}

func writeDone(io *ninep.IO) {
	t := io.Owner.(*transfer)
	t.ended()
	if io.N > 0 {
		t.node.wrote(uint64(io.Offset) + uint64(io.N))
	}
	if io.Err != nil && (io.N == 0 || fuse.In[fuse.WriteIn](t.r).WriteFlags&fuse.WriteCache != 0) {
		// Of write-back the kernel looks at nothing but the error.
		t.r.ReplyError(errnoOf(io.Err))
	} else {
		t.r.ReplyWrite(uint32(io.N))
	}
	t.drop()
}

// append is a WRITE through an O_APPEND handle where the kernel's idea of the end is not known to be right: another client may
// have moved it. It goes to where the end is now. Two clients that append at the same moment can still overwrite each other:
// 9P has no message that would say where a write went.
func (fs *FS) append(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.WriteIn](r)
	h, err := fs.handleOf(in.Fh)
	if err != nil {
		return err
	}
	attr, err := fs.attrThrough(ctx, h)
	if err != nil {
		return err
	}
	n, err := h.fid.Write(ctx, r.Payload(), int64(attr.Size))
	if n > 0 {
		h.node.wrote(attr.Size + uint64(n))
	}
	if err != nil && n == 0 {
		return err
	}
	id, missed := h.node.id, attr.Size != in.Offset
	r.ReplyWrite(uint32(n))
	if missed && fs.o.Cache != CacheNone {
		// The kernel has put the data at the wrong place in its pages. It holds them locked until the answer.
		fs.pool.post(func() { fs.notify(id, true) })
	}
	return nil
}

// readQueue is the READs that wait for a slot. They have a goroutine of their own: pages that they fill can be what every
// worker waits for.
type readQueue struct {
	fs    *FS
	mu    sync.Mutex
	wake  sync.Cond
	queue []waitingRead
	stop  bool
	done  chan struct{}
}

type waitingRead struct {
	r *fuse.Request
	h *handle
}

func (q *readQueue) start(fs *FS) {
	q.fs, q.done = fs, make(chan struct{})
	q.wake.L = &q.mu
	go q.run()
}

func (q *readQueue) push(r *fuse.Request, h *handle) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, waitingRead{r, h})
	q.wake.Signal()
}

// close ends the goroutine. Nothing may be pushed any more, and what waits fails because the file system's context has ended.
func (q *readQueue) close() {
	q.mu.Lock()
	q.stop = true
	q.wake.Signal()
	q.mu.Unlock()
	<-q.done
}

func (q *readQueue) run() {
	defer close(q.done)
	for {
		w, ok := q.next()
		if !ok {
			return
		}
		slot, err := q.fs.o.Arena.Get(q.fs.ctx, int(fuse.In[fuse.ReadIn](w.r).Size))
		if err != nil {
			w.r.ReplyError(unix.EIO)
			continue
		}
		startRead(w.r, w.h, slot)
	}
}

func (q *readQueue) next() (waitingRead, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) == 0 {
		if q.stop {
			return waitingRead{}, false
		}
		q.wake.Wait()
	}
	w := q.queue[0]
	q.queue = q.queue[1:]
	return w, true
}
