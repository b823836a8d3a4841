package ninep

import (
	"context"
	"fmt"

	"github.com/csi-9p/csi-9p/transport"
)

// Relay passes on messages that somebody else has composed, over the connection that a session has when the Relay is made, and
// ends with it: what is to be said again on the next connection is for them to know who composed the messages. It is safe for
// concurrent use.
type Relay struct {
	session *Session
	link    *link
	volume  *volume
}

// RelayFid is a number of the session's for the messages of a Relay. They say what it stands for, and a reconnect does not bind
// it again.
type RelayFid struct{ fid *Fid }

// RelayMessage is a T-message of 9P2000.L to be passed on. Its memory is lent until Pass returns.
type RelayMessage struct {
	Type MsgType
	Body []byte       // what follows the header, but the payload; well formed
	Out  []byte       // the payload of Twrite; nil: there is none
	In   []byte       // room for the payload of Rread or Rreaddir: as many bytes as Body asks for
	Fids [2]*RelayFid // those that Body names
}

// Relay waits until the session has a connection, as ctx and [Config.ReconnectTimeout] allow. All that is passed on is charged to
// flow. The error wraps [ErrDialect] if the session does not speak 9P2000.L.
func (s *Session) Relay(ctx context.Context, flow *transport.Flow) (*Relay, error) {
	if s.dialect != DialectL {
		return nil, fmt.Errorf("%w: the session speaks %v", ErrDialect, s.dialect)
	}
	l, err := s.await(ctx)
	if err != nil {
		return nil, err
	}
	return &Relay{session: s, link: l, volume: &volume{options: AttachOptions{Flow: flow}}}, nil
}

// Lost is closed when the connection is dead.
func (r *Relay) Lost() <-chan struct{} { return r.link.conn.Lost() }

// Msize is the largest message that the server takes or gives, in bytes.
func (r *Relay) Msize() uint32 { return r.link.msize }

// NewFid takes a number that the server does not know, for a message that binds it.
func (r *Relay) NewFid() (*RelayFid, error) {
	f, err := r.session.newFid(r.volume)
	if err != nil {
		return nil, err
	}
	f.maybeBind(r.link) // whatever becomes of the message
	return &RelayFid{f}, nil
}

// Number is what stands for the fid in messages.
func (f *RelayFid) Number() FID { return f.fid.number }

// Unbound records that the server does not know the number: it has refused to bind it, or Tremove was answered.
func (f *RelayFid) Unbound() { f.fid.unbind() }

// Clunk sends Tclunk and waits for the answer, whose errno is the error. The number is given back in any case.
func (f *RelayFid) Clunk(ctx context.Context) error { return f.fid.clunk(ctx) }

// Drop gives the number back once no message that names it is under way: to the server too, unless that does not know it. It
// does not wait. After Clunk it does nothing.
func (f *RelayFid) Drop() { f.fid.Drop() }

// Pass sends a message and waits for its outcome. It returns the body of the reply, without the payload, of which n bytes are in
// m.In. The error is the [unix.Errno] that the server answered; or the error of ctx, and there is and will be no answer; or
// [transport.ErrNoReply]; or the loss of the connection. When ctx ends the server is sent a Tflush, and its answer awaited.
func (r *Relay) Pass(ctx context.Context, m RelayMessage) (body []byte, n int, err error) {
	reply := &relayed{kind: m.Type + 1}
	q := request{message: &relayed{kind: m.Type, body: m.Body, payload: m.Out}, reply: reply, in: m.In, out: m.Out, stays: true}
	for i, f := range m.Fids {
		if f != nil {
			q.fids[i] = f.fid
		}
	}
	n, err = r.link.exchange(ctx, q)
	return reply.body, n, err
}

// relayed is a message whose body is somebody else's.
type relayed struct {
	kind          MsgType
	body, payload []byte
}

// Type returns the message's number.
func (m *relayed) Type() MsgType { return m.kind }

func (m *relayed) fields(c *codec) {
	if c.decoding {
		m.body = append(m.body, c.take(len(c.buf))...)
		return
	}
	c.buf, c.payload = append(c.buf, m.body...), m.payload
}
