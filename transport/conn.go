package transport

import "errors"

var (
	// ErrClosed is the reason of a connection, and of its calls, that ended by
	// Close. An Arena that was closed answers with it too.
	ErrClosed = errors.New("transport: closed")
	// ErrProtocol is wrapped by the reason of a connection that ended because
	// its peer broke the protocol.
	ErrProtocol = errors.New("9P protocol violation by the peer")
	// ErrInvalidCall is wrapped by the Err of a call that could not be sent as
	// it was filled: Head is short or disagrees with Tag, Out or the largest
	// message, or the tag is another call's. The connection lives on.
	ErrInvalidCall = errors.New("transport: invalid call")
	// ErrForgotten is the Err of a call that Forget ended.
	ErrForgotten = errors.New("transport: call given up by both ends")
	// ErrNoReply is the Err of a call that the peer has handed back without a
	// reply, which a device can: because of a Tflush that is under way, whose
	// Rflush the tag must wait for as ever, or by its own fault. The request
	// happened or not.
	ErrNoReply = errors.New("handed back by the 9P server without a reply")
	// ErrRefused is wrapped by the reason of a connection that ended because
	// its peer did not accept what this end showed of itself.
	ErrRefused = errors.New("refused by the server")
)

// Conn is one connection to a 9P server. It is safe for concurrent use.
type Conn interface {
	// Submit gives the call to the transport. It never blocks on the peer. On
	// a dead connection the call is completed with the reason.
	//
	// The bulk calls of one flow go out in the order of submission, and so do its
	// others, but urgent ones, which pass. Otherwise there is no order.
	Submit(*Call)
	// Withdraw takes back a call that waits to be sent. True: no byte of it was
	// given to the peer, it is the caller's again and Complete will not
	// be called. False: it was sent, is being sent, or is complete.
	Withdraw(*Call) bool
	// Forget tells the transport that the peer has promised not to reply to the
	// call of this tag any more, as Rflush does. The call, if it is still
	// outstanding, is completed with ErrForgotten once its memory is in nobody
	// else's hands: at once on a stream, when the device hands it back on a
	// ring. A tag that is not outstanding is ignored. A Completer may call it.
	Forget(tag uint16)
	// Traits says what this connection prefers and takes. It is constant.
	Traits() Traits
	// SetMsize sets the largest message from now on, in either direction, to
	// what Rversion brought. Before that it is Traits().MaxMsize.
	SetMsize(uint32)
	// Lost is closed when the connection is dead and every call that it
	// had accepted has been completed.
	Lost() <-chan struct{}
	// Err is the reason of the connection's death; nil while it lives.
	Err() error
	// Close ends the connection: calls are completed with ErrClosed, Lost says
	// when all of them are. It does not wait for that, so that a Completer
	// may call it. Further calls of Close do nothing.
	Close() error
}

// Traits are a connection's preferences and limits.
type Traits struct {
	// Name is the transport's name as in a server's URL: "tcp", "tls", "unix", "vsock", "virtio".
	Name string
	// MaxMsize is the largest message the transport takes, in bytes.
	MaxMsize uint32
	// ZeroCopy says that a payload given apart from its head is not copied in
	// user space.
	ZeroCopy bool
	// Threshold is the payload length in bytes from which a payload apart
	// pays; below it the bookkeeping costs more than a copy.
	Threshold int
	// Slots is how many calls can be in flight, without the urgent reserve.
	Slots int
	// Window is how many payload bytes can be in flight.
	Window int64
}
