package ninep

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Found is what one of several names led to.
type Found struct {
	Fid  *Fid // the caller's to end; nil with an error
	Attr Attr // the basic attributes
	Err  error
}

// burstNames is how many names are asked about at the same time.
const burstNames = 128

// WalkAttrs is WalkAttr by each of the names from this directory. For burstNames of them it is one round trip where the server
// keeps messages about one fid in order, else two. What a lost connection leaves without an answer has its error.
func (f *Fid) WalkAttrs(ctx context.Context, names []string) []Found {
	found := make([]Found, len(names))
	for first := 0; first < len(names); first += burstNames {
		last := min(first+burstNames, len(names))
		f.walkAttrs(ctx, names[first:last], found[first:last])
	}
	return found
}

func (f *Fid) walkAttrs(ctx context.Context, names []string, found []Found) {
	l := f.session.current.Load()
	if l == nil || l.dialect != DialectL {
		f.walkApart(ctx, names, found)
		return
	}
	var visits []*visit
	for i := range names {
		v := &visit{names: names[i : i+1], ask: true}
		if found[i].Err = f.fail("walk", v.begin(f), names[i]); found[i].Err == nil {
			found[i].Fid = v.to
			visits = append(visits, v)
		}
	}
	errs := l.visitAll(ctx, visits)
	if slices.ContainsFunc(errs, isLost) {
		f.session.lost(l)
	}
	for i := range found {
		if found[i].Err != nil {
			continue
		}
		v, err := visits[0], errs[0]
		visits, errs = visits[1:], errs[1:]
		if err != nil {
			v.to.Drop()
			found[i] = Found{Err: f.fail("walk", err, names[i])}
			continue
		}
		found[i].Attr = v.attr.Attr
	}
}

// visitAll makes visits that ask and do not open, and returns their errors.
func (l *link) visitAll(ctx context.Context, visits []*visit) []error {
	together := len(visits) > 0 && visits[0].from.session.features.inOrder.load() == Supported
	walks, requests := make([]*walk, len(visits)), make([]request, len(visits), 2*len(visits))
	for i, v := range visits {
		walks[i], requests[i] = v.step(l)
	}
	if together {
		for _, v := range visits {
			requests = append(requests, v.to.getattr(&v.attr, AttrBasic))
		}
		errs := l.exchangeAll(ctx, requests)
		for i, w := range walks {
			errs[i] = cmp.Or(w.outcome(errs[i]), errs[len(visits)+i])
		}
		return errs[:len(visits)]
	}
	errs := l.exchangeAll(ctx, requests)
	asks := requests[:0]
	for i, w := range walks {
		if errs[i] = w.outcome(errs[i]); errs[i] == nil {
			asks = append(asks, visits[i].to.getattr(&visits[i].attr, AttrBasic))
		}
	}
	answers := l.exchangeAll(ctx, asks)
	for i := range errs {
		if errs[i] == nil {
			errs[i], answers = answers[0], answers[1:]
		}
	}
	return errs
}

// walkApart is walkAttrs with a goroutine for each name.
func (f *Fid) walkApart(ctx context.Context, names []string, found []Found) {
	Block(ctx)
	var group errgroup.Group
	for i, name := range names {
		group.Go(func() error {
			found[i].Fid, found[i].Attr, found[i].Err = f.WalkAttr(ctx, name)
			return nil
		})
	}
	_ = group.Wait() // none returns an error
}
