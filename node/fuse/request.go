package fuse

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// inlineSize holds every request but the largest: RENAME2 with two names of 255 bytes takes 568.
	inlineSize = 640
	// outSize holds the largest reply but for its payload.
	outSize = 160
	// uniqueResent marks a request that an earlier reader of the connection got already (FUSE_UNIQUE_RESEND of fuse.h).
	uniqueResent = 1 << 63
)

// Request is one request of the kernel. It is the handler's from Handle until exactly one of its Reply methods, or NoReply, is
// called, from any goroutine; answering it twice panics. From then on it is another request: neither it nor what its methods
// returned may be touched. Apart from Context, OnInterrupt and Disarm its methods are not for concurrent use.
type Request struct {
	conn *Conn

	in      []byte // header, arguments and names; in inline or, if that is too small, on the heap
	tail    []byte // what stayed in buf: the payload of WRITE, the entries of a long BATCH_FORGET
	name    []byte
	name2   []byte
	payload []byte
	buf     Buffer
	entry   *ringEntry // nil if it came through /dev/fuse

	out   [outSize / 8]uint64
	iov   [2]unix.Iovec
	iovs  int
	pipe  int // where a reply of piped bytes is, unless that is 0 and the reply in iov
	piped int
	errno unix.Errno
	send  func(fd uintptr) // sends the reply, stores errno; bound once

	// unique is the header's without uniqueResent while the request is unanswered, else 0. INTERRUPT finds the request by it.
	unique atomic.Uint64

	mu      sync.Mutex // guards what follows
	live    bool       // read and unanswered
	cause   error
	ctx     context.Context
	cancel  context.CancelCauseFunc
	onInter func()

	inline [inlineSize / 8]uint64 // what the head is read into
}

func newRequest(c *Conn) *Request {
	r := &Request{conn: c}
	r.send = r.sendTo
	return r
}

// Header returns the request's header.
func (r *Request) Header() *InHeader { return view[InHeader](r.in) }

// Opcode says what is asked for.
func (r *Request) Opcode() Opcode { return r.Header().Opcode }

// NodeID is the node that it is about; the directory where a name is given.
func (r *Request) NodeID() uint64 { return r.Header().NodeID }

// NoID is a uid or gid that the kernel keeps to itself (FUSE_INVALID_UIDGID): where [AllowIDMap] was agreed on, that of every
// caller who makes no file. What a mapped mount's caller makes has the ids that the mapping gives it on the file system.
const NoID = ^uint32(0)

// UID is the caller's file system uid, or [NoID].
func (r *Request) UID() uint32 { return r.Header().UID }

// GID is the caller's file system gid, or [NoID].
func (r *Request) GID() uint32 { return r.Header().GID }

// PID is the caller's thread id as seen from the mount's pid name space, 0 if it is not visible there.
func (r *Request) PID() uint32 { return r.Header().PID }

// Unique tells the requests under way apart. A request that is resent keeps its number.
func (r *Request) Unique() uint64 { return r.Header().Unique &^ uniqueResent }

// Resent says that an earlier reader of this connection got the request already, and may have carried it out.
func (r *Request) Resent() bool { return r.Header().Unique&uniqueResent != 0 }

// Name is the name that the request carries: of the entry, the extended attribute or the new symbolic link; nil without one.
func (r *Request) Name() []byte { return r.name }

// Name2 is its second string: the new name of RENAME and RENAME2, the target of SYMLINK.
func (r *Request) Name2() []byte { return r.name2 }

// Payload is the data of a WRITE, in its [Buffer] from the first byte on, or the value of a SETXATTR.
func (r *Request) Payload() []byte { return r.payload }

// Room is memory for the data of the answer to a READ, or nil if there is none in particular: then the data may be anywhere. What
// is answered from its beginning is not copied. It is lent until the answer, see TakeBuffer.
func (r *Request) Room() []byte {
	if r.entry == nil || r.Opcode() != OpRead {
		return nil
	}
	return r.entry.payload.bytes
}

// TakeBuffer hands over the buffer with a WRITE's payload, or with the Room of a READ: the caller releases it, perhaps after the
// reply, instead of the reply. It returns nil for any other request, an empty WRITE, and the second time.
func (r *Request) TakeBuffer() Buffer {
	if op := r.Opcode(); r.buf == nil || op != OpWrite && op != OpRead {
		return nil
	}
	if r.entry != nil {
		r.entry.ring.loop.hold()
	}
	b := r.buf
	r.buf = nil
	return b
}

// Argument is a fixed argument of a request.
type Argument interface {
	GetattrIn | SetattrIn | MknodIn | MkdirIn | RenameIn | Rename2In | LinkIn | OpenIn | CreateIn | ReleaseIn | FlushIn |
		ReadIn | WriteIn | FsyncIn | SetxattrIn | GetxattrIn | LkIn | ForgetIn | BatchForgetIn | InitIn | InterruptIn
}

// In returns the argument of r. T is the type that its opcode has in the documentation of wire.go; another panics or reads
// nonsense. Lengths were checked before the handler got the request.
func In[T Argument](r *Request) *T { return view[T](r.in[inHeaderSize:]) }

// Forgets yields what a FORGET or BATCH_FORGET takes back: node ids with the number of lookups to subtract.
func (r *Request) Forgets() iter.Seq[ForgetOne] {
	return func(yield func(ForgetOne) bool) {
		if r.Opcode() == OpForget {
			yield(ForgetOne{NodeID: r.NodeID(), Nlookup: In[ForgetIn](r).Nlookup})
			return
		}
		left := In[BatchForgetIn](r).Count
		for _, b := range [...][]byte{r.in[inHeaderSize+batchForgetSize:], r.tail} {
			for ; left > 0 && len(b) >= forgetOneSize; left-- {
				if !yield(*view[ForgetOne](b)) {
					return
				}
				b = b[forgetOneSize:]
			}
		}
	}
}
