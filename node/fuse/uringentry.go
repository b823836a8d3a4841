package fuse

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringQueue is the queue of the requests that are made on one CPU.
//
// A request has an entry from when it is handed out until its answer is committed, and the kernel keeps back what finds no
// entry free. READs and WRITEs end by themselves; anything else may wait for a request that is still to come: a lock for its
// release, an OPEN that has pages dropped for the READ that holds them. So only the former share the queue's first entries,
// and for each of the others under way the queue gets one more. They stay: the kernel lets none be taken back.
//
// An entry that is registered gets none of the requests that the kernel kept back before: those wait for the next answer in their
// queue (fuse_uring_do_register and fuse_uring_next_fuse_req of fs/fuse/dev_uring.c, Linux 6.18). So more requests than the queue
// has entries free, made on one CPU before the thread has run, may wait for one that only they would bring about.
type ringQueue struct {
	id      uint16
	entries int
	waiting int // handed out and neither READ nor WRITE
}

// ringEntry is a place for one request (struct fuse_ring_ent of fs/fuse/dev_uring.c). It is its ring's, but for head and
// payload, which are the request's from when the kernel completed the entry's submission until the request's answer is posted.
type ringEntry struct {
	place
	ring     *ring
	queue    *ringQueue
	number   uint64 // in the ring, from 1
	iov      [2]unix.Iovec
	commitID uint64
	out      bool // handed out, or lost
	waits    bool // counted in queue.waiting
	touched  bool // the payload may hold pages
}

// adoptEntry takes in the request that the kernel put in e, and checks its shape.
func (r *Request) adoptEntry(e *ringEntry) error {
	inline := bytesOf(r.inline[:])
	r.entry, r.buf = e, e.payload
	n := copy(inline, bytesOf(e.head.InOut[:])[:inHeaderSize])
	r.in = inline[:n]
	r.publish()
	rest := int64(e.head.PayloadSize)
	args := int64(r.Header().Len) - int64(n) - rest
	if rest > int64(len(e.payload.bytes)) || args < 0 || args > int64(len(e.head.OpIn)*8) {
		return errMalformed
	}
	n += copy(inline[n:], bytesOf(e.head.OpIn[:])[:args])
	r.in = inline[:n]
	r.gather(e.payload.bytes[:rest])
	return r.parse()
}

// answer lays out r's reply for the kernel and posts it. If r's payload was taken it waits for another.
func (e *ringEntry) answer(r *Request) {
	head := sliceOf(&r.iov[0])
	copy(bytesOf(e.head.InOut[:]), head[:outHeaderSize])
	result, data := head[outHeaderSize:], []byte(nil)
	if r.iovs > 1 {
		data = sliceOf(&r.iov[1])
	}
	if r.buf != nil {
		e.fill(result, data)
		e.ring.post(e)
		return
	}
	result = slices.Concat(result, data) // r's memory is somebody else's when the payload comes
	e.ring.loop.memory.get(func(p *ringPayload) {
		if err := e.ring.loop.memory.put(e.window, p); err != nil {
			e.ring.loop.fail(err)
			return
		}
		e.payload = p
		e.fill(result, nil)
		e.ring.post(e)
	})
}

// fill puts a reply into the payload. Data that is at its beginning already is not copied.
func (e *ringEntry) fill(result, data []byte) {
	n := copy(e.payload.bytes, result)
	if n == 0 && unsafe.SliceData(data) == unsafe.SliceData(e.payload.bytes) {
		n = len(data)
	} else {
		n += copy(e.payload.bytes[n:], data)
	}
	e.head.PayloadSize = uint32(n)
}

// register is the submission that gives e to the kernel.
func (e *ringEntry) register() uringSQE {
	setIovec(&e.iov[0], headBytes(e.head))
	setIovec(&e.iov[1], e.window)
	return uringSQE{
		Opcode: uringOpCmd, Fd: e.ring.dev, CmdOp: fuseURingRegister, UserData: e.number,
		Addr: addressOf(&e.iov), Len: uint32(len(e.iov)), QID: e.queue.id,
	}
}

// commit is the submission that answers e's request and waits for the next.
func (e *ringEntry) commit() uringSQE {
	return uringSQE{
		Opcode: uringOpCmd, Fd: e.ring.dev, CmdOp: fuseURingCommitAndFetch, UserData: e.number,
		CommitID: e.commitID, QID: e.queue.id,
	}
}
