package transport

import (
	"sync"

	"golang.org/x/sys/unix"
)

// Pipe holds a payload on its way from a connection to another descriptor:
// the kernel moves the pages (splice(2)), and no byte of it is copied to this
// process. A Call brings one; whoever has the call gives it back by Release.
type Pipe struct {
	read, write int
	pipes       *Pipes
	poll        [1]unix.PollFd // Full's
}

// Ends returns the two descriptors, non-blocking both.
func (p *Pipe) Ends() (read, write int) { return p.read, p.write }

// Full tells a pipe without room from a source without data: splice(2) has one
// error for both. One call at a time.
func (p *Pipe) Full() bool {
	p.poll[0] = unix.PollFd{Fd: int32(p.write), Events: unix.POLLOUT}
	for {
		// Without a ready descriptor a pending signal is EINTR, however short the wait (do_poll of fs/select.c).
		if n, err := unix.Poll(p.poll[:], 0); err != unix.EINTR {
			return err == nil && n == 0
		}
	}
}

// Release gives the pipe back. empty says that all that was put into it has
// been taken out: what is left in another would come before the next payload,
// so that one is closed.
func (p *Pipe) Release(empty bool) {
	if !p.pipes.takeBack(p, empty) {
		p.close()
	}
}

func (p *Pipe) close() {
	unix.Close(p.read)
	unix.Close(p.write)
}

// Sizes of a pipe. In single pages a payload of 1 MiB and what stands before it
// take more slots than the smaller one has; the larger needs CAP_SYS_RESOURCE
// unless fs.pipe-max-size allows it (pipe(7)).
const (
	largePipe = 2 << 20
	smallPipe = 1 << 20
)

// sparePipes is how many pipes Pipes keeps: to make one takes as long as to move
// a large payload, and a reader with many requests in flight has as many pipes on
// their way.
const sparePipes = 8

// Pipes are the pipes of a connection. The zero value is ready. Its methods are
// safe for concurrent use.
type Pipes struct {
	Most int // given at once; 0: as many as are asked for

	mu     sync.Mutex
	given  int
	spare  []*Pipe
	closed bool
}

// Get returns an empty pipe, or nil when none of a useful size is to be had: the
// pages that the pipes of one user have are limited (pipe(7),
// pipe-user-pages-soft), and so are Most.
func (p *Pipes) Get() *Pipe {
	p.mu.Lock()
	if p.Most > 0 && p.given == p.Most {
		p.mu.Unlock()
		return nil
	}
	p.given++
	if n := len(p.spare); n > 0 {
		pipe := p.spare[n-1]
		p.spare = p.spare[:n-1]
		p.mu.Unlock()
		return pipe
	}
	p.mu.Unlock()
	pipe := p.open()
	if pipe == nil {
		p.mu.Lock()
		p.given--
		p.mu.Unlock()
	}
	return pipe
}

// open makes a pipe.
func (p *Pipes) open() *Pipe {
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	pipe := &Pipe{read: fds[0], write: fds[1], pipes: p}
	for _, size := range []int{largePipe, smallPipe} {
		if got, err := unix.FcntlInt(uintptr(pipe.write), unix.F_SETPIPE_SZ, size); err == nil && got >= size {
			return pipe
		}
	}
	pipe.close()
	return nil
}

// Close closes the pipes that are at rest now, and the others once they are
// released.
func (p *Pipes) Close() {
	p.mu.Lock()
	spare := p.spare
	p.spare, p.closed = nil, true
	p.mu.Unlock()
	for _, pipe := range spare {
		pipe.close()
	}
}

// takeBack keeps a pipe that is empty, if there is room for it.
func (p *Pipes) takeBack(pipe *Pipe, empty bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.given--
	if !empty || p.closed || len(p.spare) == sparePipes {
		return false
	}
	p.spare = append(p.spare, pipe)
	return true
}
