package gateway

import (
	"context"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// request is a T-message of a client's on its way to its reply.
type request struct {
	tag     uint16
	kind    ninep.MsgType
	message ninep.Message // nil: there is no such request
	body    []byte        // what message was decoded from
	err     error         // found before it is worked on: the answer
	holds   []hold
	cancel  context.CancelFunc
	flushes []*request // Tflushes that are answered after this one
	reply   []byte     // nil: there is none
}

// decode finds out what the request's body says. The error is that of one that is malformed.
func (r *request) decode() error {
	r.message = ninep.NewMessage(r.kind)
	switch {
	case r.message == nil, r.kind&1 == 1: // a reply's number is odd
		r.message, r.err = nil, unix.EOPNOTSUPP
		return nil
	case r.kind == ninep.TypeTauth:
		r.err = unix.ENOENT // as ninep/server and diod say that there is nothing to authenticate with
	}
	return ninep.DecodeBody(r.body, r.message)
}

// fidsAt returns where in the body of a message stand the fids that it asks about.
func fidsAt(m ninep.Message) []int {
	switch m := m.(type) {
	case *ninep.Twalk, *ninep.Txattrwalk, *ninep.Trename, *ninep.Tlink:
		return []int{0, 4}
	case *ninep.Trenameat:
		return []int{0, 4 + 2 + len(m.OldName)}
	}
	return []int{0}
}

// role is what a request does to the last of its fids. It uses the other.
type role uint8

const (
	use   role = iota // uses what the fid stands for
	alter             // changes what it stands for, or what is then said of it
	bind              // gives a new fid its file
	end               // gives the fid back
)

func roleOf(m ninep.Message) role {
	switch m := m.(type) {
	case *ninep.Twalk:
		if m.Fid == m.NewFid {
			return alter
		}
		return bind
	case *ninep.Tattach, *ninep.Txattrwalk:
		return bind
	case *ninep.Tlopen, *ninep.Tlcreate, *ninep.Txattrcreate, *ninep.Tsetattr:
		return alter
	case *ninep.Tclunk, *ninep.Tremove:
		return end
	}
	return use
}

// answer makes the reply.
func (r *request) answer(m ninep.Message) {
	// What the gateway says itself is short: this cannot fail.
	r.reply, _ = ninep.Append(nil, r.tag, m)
}

// refuse makes the reply an error.
func (r *request) refuse(errno unix.Errno) { r.answer(&ninep.Rlerror{Errno: uint32(errno)}) }

// relay makes the reply of the server's. With a payload the reply is in r.reply already, but for its head.
func (r *request) relay(body []byte, msize uint32) {
	if r.reply == nil {
		r.reply = append(make([]byte, ninep.HeaderSize, ninep.HeaderSize+len(body)), body...)
	}
	if len(r.reply) > int(msize) {
		r.refuse(unix.EMSGSIZE)
		return
	}
	binary.LittleEndian.PutUint32(r.reply, uint32(len(r.reply)))
	r.reply[4] = byte(r.kind + 1)
	binary.LittleEndian.PutUint16(r.reply[5:], r.tag)
}

// fail answers a request that has failed: with the errno; or not at all when it was flushed in time, or when there is nobody
// to ask any more, which ends the connection.
func (c *conn) fail(ctx context.Context, r *request, err error) {
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		r.refuse(errno)
	case errors.Is(err, transport.ErrNoReply):
		r.refuse(unix.EIO)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		r.reply = nil
	default:
		klog.FromContext(ctx).V(1).Info("Ending a 9P client's connection with that of its session", "reason", err.Error())
		r.reply = nil
		c.cut()
	}
}
