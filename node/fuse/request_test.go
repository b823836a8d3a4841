package fuse

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// recorder is a loop that keeps the replies.
type recorder struct {
	replies [][]byte
}

func (*recorder) serve() error        { return nil }
func (*recorder) stop()               {}
func (*recorder) close() error        { return nil }
func (*recorder) notify([]byte) error { return nil }
func (*recorder) splices() bool       { return false }
func (*recorder) missed(uint64)       {}

func (*recorder) negotiated(InitFlags) error { return nil }

func (l *recorder) reply(r *Request) {
	var b []byte
	for _, v := range r.iov[:r.iovs] {
		b = append(b, unsafe.Slice(v.Base, v.Len)...)
	}
	l.replies = append(l.replies, b)
}

// handlerFunc is a function as a Handler.
type handlerFunc func(*Request)

func (f handlerFunc) Handle(r *Request) { f(r) }

// countedBuffer is a Buffer that counts its releases.
type countedBuffer struct {
	bytes    []byte
	released int
}

func (b *countedBuffer) Bytes() []byte { return b.bytes }
func (b *countedBuffer) Release()      { b.released++ }

// deliver passes the bytes of one request to a connection as a reader does.
func deliver(c *Conn, msg []byte) *countedBuffer {
	slot := &countedBuffer{bytes: bytesOf(make([]uint64, 1<<10+max(0, len(msg))/8))}
	r := c.request()
	n := copy(bytesOf(r.inline[:])[:headSize], msg)
	copy(slot.bytes, msg[n:])
	r.publish()
	keep, err := r.adopt(len(msg), slot.bytes)
	if keep {
		r.buf = slot
	} else {
		slot.Release()
	}
	c.dispatch(r, err)
	return slot
}

func newTestConn(handle func(*Request)) (*Conn, *recorder) {
	c := newConn(context.Background(), Config{Handler: handlerFunc(handle), MaxWrite: DefaultMaxWrite}, new(InitRecord))
	l := new(recorder)
	c.loop = l
	return c, l
}

// message lays out a request.
func message(op Opcode, unique uint64, parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		if err := binary.Write(&b, binary.NativeEndian, p); err != nil {
			panic(err)
		}
	}
	h := InHeader{Len: uint32(inHeaderSize + b.Len()), Opcode: op, Unique: unique, NodeID: 5, UID: 7, GID: 8, PID: 9}
	return append(bytesOfStruct(&h), b.Bytes()...)
}

func errnoOf(t *testing.T, reply []byte) unix.Errno {
	t.Helper()
	if len(reply) < outHeaderSize {
		t.Fatalf("reply of %d bytes", len(reply))
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(reply[4:])))
}

func TestNames(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 4095)
	for _, c := range []struct {
		name        string
		msg         []byte
		name1, two  string
		wantPayload string
	}{
		{"lookup", message(OpLookup, 2, []byte("a\x00")), "a", "", ""},
		{"any byte", message(OpUnlink, 2, []byte("\xff\n \x01\x00")), "\xff\n \x01", "", ""},
		{"symlink", message(OpSymlink, 2, []byte("link\x00target\x00")), "link", "target", ""},
		{"long symlink", message(OpSymlink, 2, []byte("link\x00"), long, []byte{0}), "link", string(long), ""},
		{"rename2", message(OpRename2, 2, Rename2In{Newdir: 6}, []byte("old\x00new\x00")), "old", "new", ""},
		{"setxattr", message(OpSetxattr, 2, SetxattrIn{Size: 3}, []byte("user.a\x00v\x00w")), "user.a", "", "v\x00w"},
	} {
		t.Run(c.name, func(t *testing.T) {
			handled := false
			conn, _ := newTestConn(func(r *Request) {
				handled = true
				if string(r.Name()) != c.name1 || string(r.Name2()) != c.two || string(r.Payload()) != c.wantPayload {
					t.Errorf("got %q %q %q", r.Name(), r.Name2(), r.Payload())
				}
				r.ReplyOK()
			})
			if slot := deliver(conn, c.msg); slot.released != 1 {
				t.Errorf("buffer released %d times", slot.released)
			}
			if !handled {
				t.Error("the handler did not get it")
			}
		})
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	short := message(OpRead, 2, ReadIn{})
	badLen := message(OpGetattr, 2, GetattrIn{})
	badLen[0]++
	for _, c := range []struct {
		name    string
		msg     []byte
		replies int
	}{
		{"shorter than its argument", append(message(OpRead, 2), short[inHeaderSize:inHeaderSize+39]...), 1},
		{"length not its own", badLen, 1},
		{"no argument", message(OpOpen, 2), 1},
		{"name without end", message(OpLookup, 2, []byte("abc")), 1},
		{"no name", message(OpLookup, 2), 1},
		{"second name without end", message(OpSymlink, 2, []byte("abc\x00def")), 1},
		{"write longer than its size", message(OpWrite, 2, WriteIn{Size: 3}, []byte("abcd")), 1},
		{"write shorter than its size", message(OpWrite, 2, WriteIn{Size: 5}, []byte("abcd")), 1},
		{"xattr shorter than its size", message(OpSetxattr, 2, SetxattrIn{Size: 9}, []byte("user.a\x00v")), 1},
		{"forget without a count", message(OpForget, 2), 0},
		{"more forgets than entries", message(OpBatchForget, 2, BatchForgetIn{Count: 2}, ForgetOne{1, 1}), 0},
		{"interrupt of nothing", message(OpInterrupt, 3), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, loop := newTestConn(func(r *Request) { t.Errorf("the handler got %v", r.Opcode()) })
			deliver(conn, c.msg)
			if len(loop.replies) != c.replies {
				t.Fatalf("%d replies, want %d", len(loop.replies), c.replies)
			}
			if c.replies == 1 && errnoOf(t, loop.replies[0]) != unix.EIO {
				t.Errorf("answered %v", errnoOf(t, loop.replies[0]))
			}
		})
	}
}

func TestForgets(t *testing.T) {
	many := make([]ForgetOne, 1000)
	for i := range many {
		many[i] = ForgetOne{NodeID: uint64(i + 1), Nlookup: uint64(3 * i)}
	}
	for _, c := range []struct {
		name string
		msg  []byte
		want []ForgetOne
	}{
		{"one", message(OpForget, 2, ForgetIn{Nlookup: 4}), []ForgetOne{{5, 4}}},
		{"none", message(OpBatchForget, 2, BatchForgetIn{}), nil},
		{"in the head", message(OpBatchForget, 2, BatchForgetIn{Count: 2}, many[:2]), many[:2]},
		{"gathered", message(OpBatchForget, 2, BatchForgetIn{Count: 3}, many[:3]), many[:3]},
		{"in the buffer", message(OpBatchForget, 2, BatchForgetIn{Count: 1000}, many), many},
		{"fewer than sent", message(OpBatchForget, 2, BatchForgetIn{Count: 70}, many), many[:70]},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []ForgetOne
			conn, loop := newTestConn(func(r *Request) {
				got = slices.Collect(r.Forgets())
				r.NoReply()
			})
			if slot := deliver(conn, c.msg); slot.released != 1 {
				t.Errorf("buffer released %d times", slot.released)
			}
			if !slices.Equal(got, c.want) || len(loop.replies) != 0 {
				t.Errorf("got %v with %d replies", got, len(loop.replies))
			}
		})
	}
}

func TestInterruptBeforeAnybodyListens(t *testing.T) {
	var r *Request
	c, _ := newTestConn(func(got *Request) { r = got })
	deliver(c, message(OpSetlkw, 2, LkIn{}))
	deliver(c, message(OpInterrupt, 3, InterruptIn{Unique: 2}))
	if r.OnInterrupt(func() { t.Error("called") }) {
		t.Error("OnInterrupt accepted after the interrupt")
	}
	if r.Disarm() {
		t.Error("Disarm says that nothing happened")
	}
	if cause := context.Cause(r.Context()); !errors.Is(cause, ErrInterrupted) {
		t.Errorf("cause %v", cause)
	}
	r.ReplyError(unix.EINTR)
}

func TestInterruptReachesItsRequestAlone(t *testing.T) {
	var requests []*Request
	c, _ := newTestConn(func(r *Request) { requests = append(requests, r) })
	deliver(c, message(OpSetlkw, 2, LkIn{}))
	deliver(c, message(OpSetlkw, 4|uniqueResent, LkIn{}))
	calls := 0
	requests[0].OnInterrupt(func() { calls += 10 })
	requests[1].OnInterrupt(func() { calls++ })
	for range 2 {
		deliver(c, message(OpInterrupt, 5, InterruptIn{Unique: 4 | uniqueResent}))
	}
	deliver(c, message(OpInterrupt, 9, InterruptIn{Unique: 8}))
	if calls != 1 {
		t.Errorf("calls %d", calls)
	}
	if !requests[0].Disarm() || requests[1].Disarm() {
		t.Error("Disarm tells the wrong one")
	}
	if !requests[1].Resent() || requests[0].Resent() || requests[1].Unique() != 4 {
		t.Error("the mark of a resent request is mistaken")
	}
	for _, r := range requests {
		r.ReplyError(unix.EINTR)
	}
}

func TestContextEndsWithTheAnswer(t *testing.T) {
	var ctx context.Context
	c, _ := newTestConn(func(r *Request) {
		ctx = r.Context()
		if ctx.Err() != nil || r.Context() != ctx {
			t.Error("the context is not one that lives until the answer")
		}
		r.ReplyOK()
	})
	deliver(c, message(OpReadlink, 2))
	if ctx.Err() == nil {
		t.Error("the context outlived the answer")
	}
}

func TestAnsweringTwicePanics(t *testing.T) {
	c, loop := newTestConn(func(r *Request) {
		r.ReplyOK()
		defer func() {
			if recover() == nil {
				t.Error("the second answer went through")
			}
		}()
		r.ReplyOK()
	})
	deliver(c, message(OpReadlink, 2))
	if len(loop.replies) != 1 {
		t.Errorf("%d replies", len(loop.replies))
	}
}

func TestInitOfAnUnfinishedPredecessor(t *testing.T) {
	c, loop := newTestConn(nil)
	in := InitIn{Major: 7, Minor: 31, MaxReadahead: 4096, Flags: uint32(AsyncRead | MaxPages)}
	if err := c.init.negotiate(&in, &Config{MaxWrite: 1 << 20, Flags: DefaultFlags}); err != nil {
		t.Fatal(err)
	}
	deliver(c, message(OpInit, 2|uniqueResent, InitIn{Major: 7, Minor: 45}))
	if len(loop.replies) != 1 || !bytes.Equal(loop.replies[0][outHeaderSize:], bytesOfStruct(&c.init.Out)) {
		t.Errorf("INIT was not answered from the record: %x", loop.replies)
	}
}

func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		name         string
		major, minor uint32
		want         error
		wantMinor    uint32
	}{
		{"older", 7, 30, ErrProtocol, 0},
		{"Linux 5.4", 7, 31, nil, 31},
		{"the future", 7, 99, nil, 45},
		{"another major", 8, 0, ErrProtocol, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, loop := newTestConn(nil)
			offered := InitExt | MaxPages | AsyncRead | HasResend | WritebackCache
			conn.cfg.Flags = DefaultFlags
			deliver(conn, message(OpInit, 2, InitIn{Major: c.major, Minor: c.minor, Flags: uint32(offered), Flags2: uint32(offered >> 32)}))
			if err := <-conn.negotiated; !errors.Is(err, c.want) {
				t.Fatalf("got %v", err)
			}
			if c.want != nil {
				if errnoOf(t, loop.replies[0]) != unix.EPROTO || conn.init.done() {
					t.Error("the kernel was not told")
				}
				return
			}
			if got, want := conn.init.Flags(), InitExt|MaxPages|AsyncRead|HasResend; got != want {
				t.Errorf("flags %#x, want %#x", got, want)
			}
			if conn.init.Out.Minor != c.wantMinor || conn.init.Out.MaxPages != 256 || conn.init.Offered() != offered {
				t.Errorf("negotiated %+v", conn.init.Out)
			}
		})
	}
}

func TestOpcodeNames(t *testing.T) {
	for op, want := range map[Opcode]string{OpLookup: "LOOKUP", OpStatx: "STATX", 7: "opcode 7", 4096: "opcode 4096"} {
		if got := op.String(); got != want {
			t.Errorf("%d: %q, want %q", uint32(op), got, want)
		}
	}
}

// FuzzRequest feeds a connection what no kernel sends. Whatever it is, it is answered once and gives its buffer back.
func FuzzRequest(f *testing.F) {
	f.Add(message(OpLookup, 2, []byte("name\x00")))
	f.Add(message(OpRename2, 2, Rename2In{}, []byte("a\x00b\x00")))
	f.Add(message(OpWrite, 2, WriteIn{Size: 4}, []byte("data")))
	f.Add(message(OpSetxattr, 2, SetxattrIn{Size: 1}, []byte("user.a\x00v")))
	f.Add(message(OpBatchForget, 2, BatchForgetIn{Count: 60}, make([]ForgetOne, 60)))
	f.Add(message(OpInit, 2, InitIn{Major: 7, Minor: 45}))
	f.Add(message(OpInterrupt, 3, InterruptIn{Unique: 2}))
	f.Add(message(4096, 0))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, loop := newTestConn(func(r *Request) {
			if bytes.IndexByte(r.Name(), 0) >= 0 || bytes.IndexByte(r.Name2(), 0) >= 0 {
				t.Error("a name holds NUL")
			}
			if r.Opcode() == OpForget || r.Opcode() == OpBatchForget {
				_ = slices.Collect(r.Forgets())
				r.NoReply()
				return
			}
			r.ReplyError(unix.ENOSYS)
		})
		slot := deliver(c, msg)
		if slot.released != 1 || len(loop.replies) > 1 || c.unanswered.Load() != 1 {
			t.Errorf("released %d, replies %d, unanswered %d", slot.released, len(loop.replies), c.unanswered.Load()-1)
		}
	})
}
