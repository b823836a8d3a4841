package ninefs

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/transport"
)

// Whoever reads a tree opens each file and reads it from the beginning. So the read of a small file goes out with the messages of its
// open, or right behind them where those wait for each other, and the kernel's READ, which comes when the open is answered, finds its
// data here or under way: the file as it was at the open, which is what close-to-open promises.

const (
	// prefetchMost is the size of the largest file that is read with its open.
	prefetchMost = 16 << 10
	// prefetchTime is how long the data waits for its READ, which comes at once or not at all: the kernel has the pages, or nobody
	// reads.
	prefetchTime = 100 * time.Millisecond
	// maxPrefetches bounds the slots that a mount has in use for data without a READ.
	maxPrefetches = 16
)

// prefetches is what a mount knows of files that are read with their open.
type prefetches struct {
	inUse atomic.Int32
	// paying: the last file that was closed after it was opened for reading had been asked for by READ. As a rule the next one
	// will be, unless the kernel has its pages or it is opened for other reasons.
	paying atomic.Bool
}

// prefetch is the content of a file that is read with its open. Its slot is the server's until it has landed, and then its own until
// it is freed.
type prefetch struct {
	ninep.Prefetch
	fs    *FS
	h     *handle // that it is kept for; nil until then
	epoch uint64  // of the node, from before the open
	size  uint64  // of the file, as the open found it
	sent  bool
	timer *time.Timer

	mu     sync.Mutex
	slot   *transport.Slot
	landed bool
	ended  bool // its content has been taken, or is not wanted any more
	n      int  // bytes that landed; -1: an error
	reader *fuse.Request
}

// prefetch prepares to read a file with its open; nil: that is not worth it.
func (fs *FS) prefetch(n *node, flags uint32, epoch uint64) *prefetch {
	if !fs.prefetches.paying.Load() || fs.o.Cache == CacheNone || !readsPages(flags) {
		return nil
	}
	size := n.known().Size
	if size == 0 || size > prefetchMost {
		return nil
	}
	p := &prefetch{fs: fs, epoch: epoch}
	if fs.prefetches.inUse.Add(1) <= maxPrefetches {
		p.slot = fs.o.Arena.TryGet(int(size))
	}
	if p.slot == nil {
		fs.prefetches.inUse.Add(-1)
		return nil
	}
	p.Buf, p.Done = p.slot.Bytes()[:size], p.land
	return p
}

// readsPages reports whether who opens a file with these flags can do nothing but read it through the page cache.
func readsPages(flags uint32) bool {
	return flags&(unix.O_ACCMODE|unix.O_DIRECT|unix.O_TRUNC) == unix.O_RDONLY
}

// once returns the read to send along, if there is one, the first time.
func (p *prefetch) once() *ninep.Prefetch {
	if p == nil || p.sent {
		return nil
	}
	p.sent = true
	return &p.Prefetch
}

// keep has the content wait for a READ through h, which the kernel does not know yet.
func (p *prefetch) keep(h *handle, size uint64) {
	if p == nil || !p.sent {
		return
	}
	p.h, p.size = h, size
	p.timer = time.AfterFunc(prefetchTime, p.drop)
	h.prefetch.Store(p)
}

// opened is called when the open has ended: what is not kept by then is of no use.
func (p *prefetch) opened() {
	if p != nil && p.h == nil {
		p.drop()
	}
}

// land is told when the server has let go of the slot.
func (p *prefetch) land(n int, err error) {
	if err != nil {
		n = -1
	}
	p.mu.Lock()
	p.landed, p.n = true, n
	r := p.reader
	p.reader = nil
	if p.ended {
		p.free()
	}
	p.mu.Unlock()
	if r != nil {
		p.answer(r)
	}
}

// drop gives the content up. A READ that waits for it goes to the server.
func (p *prefetch) drop() {
	p.mu.Lock()
	r := p.reader
	p.reader = nil
	if !p.ended {
		if p.ended = true; p.landed || !p.sent {
			p.free()
		}
	}
	p.mu.Unlock()
	if r != nil {
		p.fs.readFromServer(r, p.h)
	}
}

// free gives the slot back.
func (p *prefetch) free() {
	p.slot.Release()
	p.fs.prefetches.inUse.Add(-1)
}

// await has a READ wait for the content, for prefetchTime at most, and reports false if that has landed or is not wanted any more.
func (p *prefetch) await(r *fuse.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.landed || p.ended {
		return false
	}
	p.reader = r
	return true
}

// take returns the file's content, for the caller to free, or nil: it is not wanted any more, it is not all of what the open found,
// or the file has changed since, as far as this mount knows.
func (p *prefetch) take() []byte {
	same := p.h.node.unchanged(p.epoch, p.size)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.n < 0 || uint64(p.n) != p.size || !same {
		return nil
	}
	p.ended = true
	return p.Buf[:p.n]
}

// answer answers a READ of the file's beginning, now that the content has landed.
func (p *prefetch) answer(r *fuse.Request) {
	p.timer.Stop()
	if content := p.take(); content != nil {
		r.ReplyData(content[:min(len(content), int(fuse.In[fuse.ReadIn](r).Size))])
		p.free()
		return
	}
	p.drop()
	p.fs.readFromServer(r, p.h)
}

// readPrefetched sees to a READ of what was read with the open, or reports that the server has to be asked.
func (h *handle) readPrefetched(r *fuse.Request) bool {
	if !h.asked.Load() {
		h.asked.Store(true)
	}
	if fuse.In[fuse.ReadIn](r).Offset != 0 || h.prefetch.Load() == nil {
		return false
	}
	p := h.prefetch.Swap(nil)
	if p == nil {
		return false
	}
	if !p.await(r) {
		p.answer(r)
	}
	return true
}

// endPrefetch is called when a handle ends.
func (fs *FS) endPrefetch(h *handle) {
	if p := h.prefetch.Swap(nil); p != nil {
		p.timer.Stop()
		p.drop()
	}
	if h.dir == nil && readsPages(h.flags) {
		fs.prefetches.paying.Store(h.asked.Load())
	}
}
