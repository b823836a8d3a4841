package server

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	maxMsize     = 64 << 20 // bytes; what MaxMsize may ask for
	maxRequests  = 64       // requests of one connection that are worked on at once
	requestCost  = 1 << 10  // bytes that a request counts for beside its buffers, until its reply is sent
	maxXattrSize = 64 << 10 // bytes of one attribute's value (XATTR_SIZE_MAX) or of the list of names (XATTR_LIST_MAX)
	maxXattrs    = 16 << 20 // bytes of all attributes that fids of one connection hold
	maxLocks     = 16 << 10 // byte ranges that one connection holds
	maxPipes     = 16       // that replies of one connection are in; the client decides how long they stay there
	maxClientID  = 256      // bytes of a lock owner's client_id
	readAhead    = 16 << 10 // bytes read from the socket at once when a message's head is wanted
	fallbackFDs  = 1024     // descriptors assumed where the limit cannot be read
	maxUsableFDs = 1 << 20  // descriptors counted on where there is no limit
	pageSize     = 4 << 10  // bytes; the smallest buffer, and what every buffer is aligned to
)

// maxRunning is how many requests of all connections are carried out at once. Each may keep a thread waiting for the host, as
// may the reader of each connection, and Go's runtime ends a program that has 10000 of them (debug.SetMaxThreads): a disk that
// hangs is not to be the end of the server.
const maxRunning = 8192

// quota counts things against a limit, which stands from before its first use.
type quota struct {
	used  atomic.Int64
	limit int64
}

// take reports whether there is room for n more, and counts them if so.
func (q *quota) take(n int64) bool {
	if q.used.Add(n) > q.limit {
		q.used.Add(-n)
		return false
	}
	return true
}

func (q *quota) give(n int64) { q.used.Add(-n) }

// budget is a number of bytes that requests hold shares of. One goroutine at a time may wait for room.
type budget struct {
	mu   sync.Mutex
	room sync.Cond
	free int64
}

func newBudget(n int64) *budget {
	b := &budget{free: n}
	b.room.L = &b.mu
	return b
}

// tryTake is take without waiting.
func (b *budget) tryTake(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free < n {
		return false
	}
	b.free -= n
	return true
}

// take waits until n bytes are free. n must not exceed the whole budget.
func (b *budget) take(n int64) {
	b.mu.Lock()
	for b.free < n {
		b.room.Wait()
	}
	b.free -= n
	b.mu.Unlock()
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.free += n
	b.mu.Unlock()
	b.room.Signal()
}

// descriptorLimit is the number of descriptors that fids may hold in this process. A quarter of what it may open is left to
// connections, to what requests open for a moment, and to the rest of the program. (The Go runtime has already raised the
// soft limit to the hard one.)
func descriptorLimit() int64 {
	limit := unix.Rlimit{Cur: fallbackFDs}
	// Without an answer the fallback stands.
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return int64(min(limit.Cur, maxUsableFDs)) / 4 * 3
}
