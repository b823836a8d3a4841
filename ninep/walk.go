package ninep

import (
	"context"
	"strings"

	"golang.org/x/sys/unix"
)

// checkName refuses what is not the name of a file in a directory, so that no name from outside becomes a path.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return unix.EINVAL
	case len(name) > MaxName:
		return unix.ENAMETOOLONG
	}
	return nil
}

// Walk binds a new fid to the file that the names lead to from this directory, with no symbolic link followed; without
// names, to the same file. The new fid is not open. EINVAL: this fid is open, from where no names can be walked, or one
// of the names is none; ENOENT, ENOTDIR: the names lead nowhere.
func (f *Fid) Walk(ctx context.Context, names ...string) (*Fid, error) {
	n, err := f.walk(ctx, names)
	if err != nil {
		return nil, f.fail("walk", err, names...)
	}
	return n, nil
}

// mayWalk reports what stands against a walk by these names.
func (f *Fid) mayWalk(names []string) error {
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
	}
	if len(names) > 0 && f.isOpen() {
		return unix.EINVAL
	}
	return nil
}

func (f *Fid) walk(ctx context.Context, names []string) (*Fid, error) {
	if err := f.mayWalk(names); err != nil {
		return nil, err
	}
	n, err := f.session.newFid(f.volume)
	if err != nil {
		return nil, err
	}
	err = f.session.do(ctx, func(l *link, _ bool) error { return f.walkOn(ctx, l, n, names) })
	if err != nil {
		n.Drop()
		return nil, err
	}
	return n, nil
}

func (f *Fid) isOpen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// stride is how many of the names one Twalk on this link takes.
func (l *link) stride(names []string) int {
	names = names[:min(len(names), MaxWalk)]
	size := HeaderSize + 4 + 4 + 2
	for i, name := range names {
		if size += 2 + len(name); size > int(l.msize) {
			return i // 15 at least: MinMsize holds as many of MaxName bytes
		}
	}
	return len(names)
}

// walkOn binds n to where the names lead from f, as many a message as it takes. On an error n may be left bound to a
// directory on the way, for the caller to drop.
func (f *Fid) walkOn(ctx context.Context, l *link, n *Fid, names []string) error {
	from, rest := f, names
	for l.stride(rest) < len(rest) {
		step := rest[:l.stride(rest)]
		w := newWalk(from, n, step)
		// Without a place n is not bound again on the next link: the walk starts over there.
		if err := w.send(ctx, l, func() { n.maybeBind(l) }); err != nil {
			return err
		}
		from, rest = n, rest[len(step):]
	}
	w := newWalk(from, n, rest)
	return w.send(ctx, l, func() { f.arrive(l, n, names, w.qid()) })
}

// arrive records that n is bound to where the names led from f.
func (f *Fid) arrive(l *link, n *Fid, names []string, qid QID) {
	f.mu.Lock()
	p := f.place
	if len(names) == 0 {
		qid = f.qid
	}
	f.mu.Unlock()
	n.bind(l, qid, f.session.places.walk(p, names))
}

// walk is one Twalk.
type walk struct {
	request Twalk
	reply   walkReply
	fids    [2]*Fid
}

// walkReply is an Rwalk that may have no more qids than names were asked for.
type walkReply struct {
	Rwalk
	asked int
}

func (m *walkReply) fields(c *codec) {
	m.Rwalk.fields(c)
	if len(m.QIDs) > m.asked {
		c.fail("%d files for %d names", len(m.QIDs), m.asked)
	}
}

// newWalk makes a Twalk from one fid to another, which may be the same.
func newWalk(from, to *Fid, names []string) *walk {
	return &walk{
		request: Twalk{Fid: from.number, NewFid: to.number, Names: names},
		reply:   walkReply{asked: len(names)},
		fids:    [2]*Fid{from, to},
	}
}

// qid is that of the file that was walked to.
func (w *walk) qid() QID {
	if n := len(w.reply.QIDs); n > 0 {
		return w.reply.QIDs[n-1]
	}
	return QID{}
}

// send sends the message: see message.
func (w *walk) send(ctx context.Context, l *link, arrived func()) error {
	return w.outcome(l.roundTrip(ctx, w.message(l, arrived)))
}

// message is the request to send. arrived is told when the server has bound the new fid, which it does only if it walked all
// of the names (walk(5)).
func (w *walk) message(l *link, arrived func()) request {
	return request{message: &w.request, reply: &w.reply, fids: w.fids, settle: func(err error) {
		switch {
		case w.outcome(err) == nil:
			arrived()
		case isUnanswered(err):
			if w.fids[0] != w.fids[1] {
				w.fids[1].maybeBind(l)
			}
		default:
			w.fids[1].refused(err)
		}
	}}
}

// outcome makes an error of a walk that ended on the way.
func (w *walk) outcome(err error) error {
	if err == nil && len(w.reply.QIDs) < w.reply.asked {
		return unix.ENOENT
	}
	return err
}
