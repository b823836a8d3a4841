package server

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// request is one T-message on its way to its reply. It is used again for others once the reply was sent.
type request struct {
	tag     uint16
	kind    ninep.MsgType
	dialect ninep.Dialect
	msg     ninep.Message // nil for Tread and Twrite, which are in io
	io      ioArgs
	err     error // found while it was received: the answer

	hasty   bool          // it must not wait: errWouldWait then
	arrived time.Duration // since the counters' epoch

	holds   [2]hold // the fids that it names
	held    int
	cost    int64   // taken from the connection's budget
	body    *buffer // a long message other than Twrite
	payload *buffer // Twrite's data, or the reply's

	head  []byte // of the reply
	data  []byte // its payload, in payload or an attribute's value
	pipe  *transport.Pipe
	piped int // bytes of payload in pipe, after data

	source  *transport.Pipe // what holds a long Twrite's data, instead of payload
	sourced int             // bytes of data in source

	flushes []*request // Tflushes that are answered after this one

	vector   unix.Iovec
	bodyRoom [256]byte
	headRoom [256]byte
}

// ioArgs are the fields of Tread and Twrite, kept out of a message of their own so that nothing is allocated for them.
type ioArgs struct {
	fid    ninep.FID
	offset uint64
	count  uint32
}

// hold is a request's place at a fid.
type hold struct {
	fid   *fid
	ready <-chan struct{} // nil: it is in
	role  role
}

// role is what a request does to a fid.
type role uint8

const (
	use   role = iota // uses what the fid stands for
	alter             // changes what it stands for
	bind              // gives a new fid its file
	end               // gives the fid back
)

// file returns the file of the i-th fid, nil if it is not bound.
func (r *request) file(i int) *file { return r.holds[i].fid.file }

// bind makes f the file of the i-th fid.
func (r *request) bind(i int, f *file) { r.holds[i].fid.file = f }

// fail makes the reply an error.
func (r *request) fail(err error) {
	r.data = nil
	r.dropPipe()
	r.head, _ = r.dialect.Append(r.headRoom[:0], r.tag, failure(r.dialect, errnoOf(err)))
}

// answer makes the reply of a message. One that the client has no room for becomes an error.
func (r *request) answer(m ninep.Message, msize uint32) {
	head, err := r.dialect.Append(r.headRoom[:0], r.tag, m)
	if err != nil {
		r.fail(err)
		return
	}
	if len(head) > int(msize) {
		r.fail(errTooLarge)
		return
	}
	r.head, r.data = head, ninep.Payload(m)
}

func (s *Server) newRequest() *request {
	if r, ok := s.requests.Get().(*request); ok {
		return r
	}
	return new(request)
}

// recycle gives back a request whose reply was sent or that was dropped.
func (c *conn) recycle(r *request) {
	s := c.server
	s.buffers.put(r.body)
	s.buffers.put(r.payload)
	r.dropPipe()
	r.dropSource()
	c.budget.give(r.cost)
	r.msg, r.err, r.holds, r.held, r.cost, r.body, r.payload = nil, nil, [2]hold{}, 0, 0, nil, nil
	r.head, r.data, r.flushes = nil, nil, nil
	s.requests.Put(r)
}
