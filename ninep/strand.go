package ninep

import "context"

// Strand is a sequence of calls that has no goroutine of its own while it waits for a server: whoever brings a reply goes on
// with it. See [WithStrand].
type Strand interface {
	// Park returns when Unpark was called since it last returned. Only the strand itself calls it.
	Park()
	// Unpark may be called from any goroutine. It must not block, and may run the strand until that parks.
	Unpark()
	// Leave has whatever the strand does from now on run on a goroutine that may be kept waiting: none of its calls parks any
	// more.
	Leave()
	// Left reports whether Leave was called.
	Left() bool
}

type strandKey struct{}

// WithStrand returns a context whose calls wait by parking the strand, or have it leave where they wait otherwise: for a
// connection, for memory that is lent, in Read, Write and Clunk. No other goroutine may use it.
func WithStrand(ctx context.Context, s Strand) context.Context {
	return context.WithValue(ctx, strandKey{}, s)
}

// strandOf is the strand whose calls are to park; nil: there is none.
func strandOf(ctx context.Context) Strand {
	if s, ok := ctx.Value(strandKey{}).(Strand); ok && !s.Left() {
		return s
	}
	return nil
}

// Block has a context's strand leave before its caller does what may keep a goroutine waiting.
func Block(ctx context.Context) {
	if s := strandOf(ctx); s != nil {
		s.Leave()
	}
}

// park waits for the outcome as wait does, without holding up a goroutine.
func (x *exchange) park(ctx context.Context) {
	if len(x.done) > 0 {
		return
	}
	s := x.strand
	defer context.AfterFunc(ctx, s.Unpark)()
	for len(x.done) == 0 && ctx.Err() == nil {
		s.Park()
	}
}
