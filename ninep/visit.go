package ninep

import "context"

// visit walks to a new fid and asks what is there, or opens it, or both. The messages go out back to back where the server
// keeps those about one fid in order, and a visit is one round trip. Elsewhere each waits for the one before it: diod, in 1.0.24
// as in 1.1.0, works on the messages of a connection concurrently, and crashes of a Tgetattr on a fid whose Twalk is under way. But
// a fid that is known to be of the file need not wait.
type visit struct {
	from, to *Fid
	names    []string
	walked   bool // to is bound: should the connection be lost, the next one binds it again
	ask      bool
	asked    bool // attr is what was asked for
	attr     attrReply
	open     bool
	flags    uint32      // 9P's
	known    func() *Fid // see [OpenHints]
	spare    *Fid
	prefetch *Prefetch
}

// WalkAttr is Walk by one name, and Getattr of the basic attributes of what it leads to.
func (f *Fid) WalkAttr(ctx context.Context, name string) (*Fid, Attr, error) {
	return f.visit(ctx, &visit{names: []string{name}, ask: true})
}

// WalkOpen is WalkAttr that opens the file as well, flags being the host's O_*. If the server refuses to, the fid is not open:
// Open then tells why.
func (f *Fid) WalkOpen(ctx context.Context, name string, flags uint32, hints *OpenHints) (*Fid, Attr, error) {
	v := &visit{names: []string{name}, ask: true, open: true, flags: wireFlags(flags), known: hints.Known, prefetch: hints.Prefetch}
	fid, attr, err := f.visit(ctx, v)
	if v.prefetch != nil {
		v.prefetch.Done(0, errUnsent)
	}
	hints.Spare = v.spare
	return fid, attr, err
}

// OpenHints save round trips.
type OpenHints struct {
	// Known, unless nil, is called where it helps, and gives away a fid that is likely to be of that file, is not open and in nobody
	// else's use; nil: there is none.
	Known    func() *Fid
	Prefetch *Prefetch // is wanted with the open, or right behind it; nil: it is not. Done is told in any case

	Spare *Fid // set: another fid of the file, not open, in place of the known one; nil: there is none
}

// CloneOpen is Walk without names that opens the file as well, as WalkOpen does.
func (f *Fid) CloneOpen(ctx context.Context, flags uint32) (*Fid, error) {
	n, _, err := f.visit(ctx, &visit{open: true, flags: wireFlags(flags)})
	return n, err
}

// IsOpen reports whether the fid is open.
func (f *Fid) IsOpen() bool { return f.isOpen() }

func (f *Fid) visit(ctx context.Context, v *visit) (*Fid, Attr, error) {
	err := v.begin(f)
	if err != nil {
		return nil, Attr{}, f.fail("walk", err, v.names...)
	}
	if err = f.session.do(ctx, func(l *link, _ bool) error { return v.on(ctx, l) }); err != nil {
		v.to.Drop()
		return nil, Attr{}, f.fail("walk", err, v.names...)
	}
	return v.to, v.attr.Attr, nil
}

// begin prepares the visit from a fid.
func (v *visit) begin(from *Fid) error {
	err := from.mayWalk(v.names)
	if err == nil {
		v.from = from
		v.to, err = from.session.newFid(from.volume)
	}
	return err
}

// on makes the visit, or what is left of it, on a link.
func (v *visit) on(ctx context.Context, l *link) error {
	if !v.walked {
		v.to.unopened() // of messages sent together the reply to the last may have come, and the first be lost
		// Ordered or not, the walk comes first: what follows it fails with it and does no harm.
		together := l.dialect == DialectL && v.from.session.features.inOrder.load() == Supported
		if err := v.walk(ctx, l, together); err != nil || together {
			return err
		}
	}
	if v.ask && !v.asked {
		if err := l.roundTrip(ctx, v.to.getattr(&v.attr, AttrBasic)); err != nil {
			return err
		}
	}
	if !v.open {
		return nil
	}
	if !v.to.isOpen() {
		if err := v.to.openOn(ctx, l, v.flags); err != nil {
			return unlessRefused(err)
		}
	}
	l.post(v.read()...) // to be under way while whoever opens the file gets to reading it
	return nil
}

// walk sends the Twalk; together: and at once all that follows.
func (v *visit) walk(ctx context.Context, l *link, together bool) error {
	w, walk := v.step(l)
	if !together {
		if v.known != nil && l.dialect == DialectL {
			if known := v.known(); known != nil {
				return v.walkBeside(ctx, l, known, w, walk)
			}
		}
		return w.outcome(l.roundTrip(ctx, walk))
	}
	requests := []request{walk}
	if v.ask {
		requests = append(requests, v.to.getattr(&v.attr, AttrBasic))
	}
	if v.open {
		requests = append(requests, v.to.lopen(v.flags))
	}
	opened := len(requests) - 1
	errs := l.exchangeAll(ctx, append(requests, v.read()...))
	if err := w.outcome(errs[0]); err != nil {
		return err // so are the others, about a fid that there is not
	}
	if v.ask && errs[1] != nil {
		return errs[1]
	}
	if v.open {
		return unlessRefused(errs[opened])
	}
	return nil
}

// walkBeside sends the Twalk and, as they need not wait for it, asks a known fid for the attributes and opens it. If the walk comes
// to the same file at the same place, the two fids change parts, and that is the visit. Else the known one is good for nothing.
func (v *visit) walkBeside(ctx context.Context, l *link, known *Fid, w *walk, walk request) error {
	errs := l.exchangeAll(ctx, []request{walk, known.getattr(&v.attr, AttrBasic), known.lopen(v.flags)})
	err := w.outcome(errs[0])
	v.asked = err == nil && errs[1] == nil && v.attr.QID == w.qid()
	if v.asked && errs[2] == nil && known.QID().SameFile(w.qid()) && known.where() == v.to.where() {
		v.to, v.spare = known, v.to
		return nil
	}
	known.Drop()
	return err
}

// read is the Tread that is wanted with the open, once, if one message holds it.
func (v *visit) read() []request {
	p := v.prefetch
	if p == nil || len(p.Buf) > v.to.MaxPayload() {
		return nil
	}
	v.prefetch = nil
	return []request{v.to.prefetch(p)}
}

// step is the Twalk.
func (v *visit) step(l *link) (*walk, request) {
	w := newWalk(v.from, v.to, v.names)
	return w, w.message(l, func() {
		v.from.arrive(l, v.to, v.names, w.qid())
		v.walked = true
	})
}

// unlessRefused leaves the server's refusal to open out: the fid is there, and not open.
func unlessRefused(err error) error {
	if _, refused := refusal(err); refused {
		return nil
	}
	return err
}
