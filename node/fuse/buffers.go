package fuse

import "context"

// Buffers is where receive buffers come from. Its methods are called from any goroutine.
//
// A reader holds one buffer of [Config.MaxWrite] bytes while requests are waiting for it, and none while it sleeps; each WRITE
// under way holds the one that its payload landed in. Until a reader gets its buffer no request of its mount is read, INTERRUPT
// included, so an implementation with a limit should serve Get before other uses of the same memory.
type Buffers interface {
	// Get waits for a buffer of at least n bytes, aligned to a page, or for the end of ctx.
	Get(ctx context.Context, n int) (Buffer, error)
	// TryGet is Get without the wait: it returns nil when there is none. It allocates nothing.
	TryGet(n int) Buffer
}

// Buffer is one piece of payload memory.
type Buffer interface {
	// Bytes is the memory. Its address and length never change.
	Bytes() []byte
	// Release gives the memory back; it is called once, from any goroutine.
	Release()
}
