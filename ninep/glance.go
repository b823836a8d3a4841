package ninep

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrGlance is wrapped by the Err of a [Glance] that could not be taken now. Whoever is ready to wait may ask again by the
// methods that do.
var ErrGlance = errors.New("ninep: not to be had without waiting")

// Glance is a question for attributes that no goroutine waits for, and that fails rather than outlive its connection. It is
// the caller's, who may embed it and use it again after Done. The exported fields are not to be touched between the start and
// Done.
type Glance struct {
	Done  func(*Glance) // called once, from any goroutine, also the starter's; must not block
	Owner any           // the caller's

	Attr Attr  // set before Done: the basic attributes of the fid
	QID  QID   // set before Done: of what the name leads to
	Err  error // set before Done: why neither counts

	link    *link
	getattr Tgetattr
	attr    attrReply
	walk    walk
	names   [2]string
	pending atomic.Int32 // messages without an outcome
	errs    [2]error     // of getattr and walk

	gotAttr, walked func(error) // the methods, bound once
}

// StartGetattr asks for the fid's basic attributes.
func (f *Fid) StartGetattr(g *Glance) {
	if g.begin(f.session, 1) {
		g.link.post(g.ask(f))
	}
}

// StartLookup asks for the fid's basic attributes and, at the same time, for the qid of what a name in a directory leads to:
// if that is the fid's, the name still is that of its file. Neither message needs the other, so servers that run the messages
// of a connection concurrently can do what they like.
func (f *Fid) StartLookup(g *Glance, dir *Fid, name string) {
	if !g.begin(f.session, 2) {
		return
	}
	look, err := g.look(dir, name, f.below())
	if err != nil {
		g.errs[1] = err
		g.end()
		g.link.post(g.ask(f))
		return
	}
	g.link.post(look, g.ask(f))
}

// below is a name that a walk to the fid's file fails at behind it, which is how to ask without binding a fid; "": there is none.
// The error of servers that do not stop short of it tells a file from a name that is not there, but not a directory.
func (f *Fid) below() string {
	features := &f.session.features
	switch {
	case features.stopsShort.load() == Unsupported, f.QID().IsDir() && features.inOrder.load() != Supported:
		return ""
	}
	return belowName
}

// belowName should be no file's name. Where it is, the walk binds a fid.
const belowName = ".csi-9p-no-such-name"

// begin reports whether there is a link to ask over. Without one the question has its answer.
func (g *Glance) begin(s *Session, messages int32) bool {
	if g.gotAttr == nil {
		g.gotAttr, g.walked = g.onAttr, g.onWalk
	}
	g.Attr, g.QID, g.Err, g.errs = Attr{}, QID{}, nil, [2]error{}
	g.link = s.current.Load()
	if g.link == nil || g.link.dialect != DialectL {
		g.Err = ErrGlance
		g.Done(g)
		return false
	}
	g.pending.Store(messages)
	return true
}

// ask is the Tgetattr.
func (g *Glance) ask(f *Fid) request {
	g.getattr, g.attr = Tgetattr{Fid: f.number, Mask: AttrBasic}, attrReply{}
	return request{message: &g.getattr, reply: &g.attr, fids: [2]*Fid{f}, settle: g.gotAttr}
}

func (g *Glance) onAttr(err error) {
	g.Attr, g.errs[0] = g.attr.Attr, err
	g.end()
}

// look is the Twalk. A walk that goes on to a name below that is not there, unless that is "", stops short of it, tells the qid of
// what it came to, and binds no fid (walk(5)), so that none has to be given back.
func (g *Glance) look(dir *Fid, name, below string) (request, error) {
	var to *Fid
	err := checkName(name)
	if err == nil {
		to, err = dir.session.newFid(dir.volume)
	}
	if err != nil {
		return request{}, err
	}
	g.names = [2]string{name, below}
	names := g.names[:1]
	if below != "" {
		names = g.names[:]
	}
	g.walk = walk{
		request: Twalk{Fid: dir.number, NewFid: to.number, Names: names},
		reply:   walkReply{asked: len(names)},
		fids:    [2]*Fid{dir, to},
	}
	return request{message: &g.walk.request, reply: &g.walk.reply, fids: g.walk.fids, settle: g.walked}, nil
}

func (g *Glance) onWalk(err error) {
	w := &g.walk
	to := w.fids[1]
	switch {
	case w.outcome(err) == nil, isUnanswered(err):
		to.maybeBind(g.link)
	case errors.Is(err, unix.ENOTDIR) && w.reply.asked == 2:
		to.session.features.stopsShort.v.Store(uint32(Unsupported)) // QEMU before 7.0
	default:
		to.refused(err)
	}
	if err == nil && len(w.reply.QIDs) == 0 {
		err = unix.ENOENT
	}
	if err == nil {
		g.QID = w.reply.QIDs[0]
	}
	g.errs[1] = err
	to.Drop()
	g.end()
}

// end takes the outcome of one message.
func (g *Glance) end() {
	if g.pending.Add(-1) > 0 {
		return
	}
	for _, err := range g.errs {
		if isLost(err) || errors.Is(err, errUnsent) || isUnanswered(err) {
			g.Err = ErrGlance
			break
		}
		if err != nil {
			g.Err = err
		}
	}
	g.link = nil
	g.Done(g)
}

// post sends requests together that nobody waits for, two at most: settle of each is told its outcome, also when it could not be sent.
func (l *link) post(requests ...request) {
	var room [2]*call
	calls := room[:0]
	for _, r := range requests {
		calls = l.appendAlone(calls, r)
	}
	l.submitAll(calls)
}
