package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// conn is one client's connection. Its workers take turns at reading: the one that has read a request that may wait hands
// the reading on and then works on the request itself, so that no request waits for a goroutine to be woken for it.
type conn struct {
	server *Server
	net    net.Conn
	log    klog.Logger
	peer   string // owner of locks
	budget *budget
	fids   fidTable
	xattrs quota
	locks  quota

	reading sync.Mutex // whose turn it is; guards what follows
	in      *bufio.Reader
	inlet   inlet // what it reads from
	msize   uint32
	agreed  bool // a Tversion was accepted
	dialect ninep.Dialect
	form    classicForm // nil on 9P2000.L
	ended   bool
	count   int // workers
	lease   lease
	outlet  outlet
	idle    atomic.Int32
	workers sync.WaitGroup

	pipes    transport.Pipes
	exchange exchange
	inflow   inflow
}

func (s *Server) serveConn(ctx context.Context, nc net.Conn, shaking *handshakes) {
	defer nc.Close()
	stream.Tune(nc)
	if !s.secure(ctx, nc, shaking) {
		return
	}
	c := s.newConn(ctx, nc)
	defer context.AfterFunc(ctx, c.drain)()
	c.log.V(1).Info("9P client connected")
	c.count = 1
	c.workers.Go(c.work)
	c.workers.Wait()
	c.lease.timer.Stop()
	c.pipes.Close()
	c.fids.clear()
	c.linger()
	c.log.V(1).Info("9P client gone")
}

func (s *Server) newConn(ctx context.Context, nc net.Conn) *conn {
	c := &conn{
		server: s,
		net:    nc,
		log:    peerLog(ctx, nc),
		peer:   s.peerName(nc),
		budget: newBudget(s.options.MaxInFlight),
		fids:   fidTable{fids: make(map[ninep.FID]*fid), limit: s.options.MaxFids, total: &s.fds},
		inlet:  inlet{Reader: nc, most: readAhead},
		msize:  s.options.MaxMsize,
	}
	c.xattrs.limit, c.locks.limit = maxXattrs, maxLocks
	c.pipes.Most = maxPipes
	c.exchange.init(c)
	c.in = bufio.NewReaderSize(&c.inlet, readAhead)
	c.outlet.init(nc)
	c.lease.timer = time.AfterFunc(time.Hour, c.expire)
	return c
}

// drain ends the reading at once, and the sending of replies after drainTime.
func (c *conn) drain() {
	now := time.Now()
	// A connection that takes no deadline is one that is closed already.
	_ = c.net.SetReadDeadline(now)
	_ = c.net.SetWriteDeadline(now.Add(drainTime))
}

// linger says that no more replies come, and takes what the peer still sends until it closes too, for lingerTime at
// most: TCP drops replies on their way when a socket is closed that has unread input (RFC 2525, 2.17).
func (c *conn) linger() {
	half, ok := c.net.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.net.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		// However it ends, the connection is closed next.
		_, _ = io.Copy(io.Discard, c.net)
	}
}

// work is a worker: it takes its turn at reading, and then answers what may have to wait, until the connection ends.
func (c *conn) work() {
	defer c.retire()
	for {
		r, ok := c.turn()
		c.exchange.send()
		if !ok {
			return
		}
		if r != nil {
			c.handle(r)
		}
	}
}

// turn waits for its turn and reads requests. It answers those that are quick, and returns the first that is not, or nil
// when replies are to be sent that have to wait for the client or for nothing more. It returns false at the connection's end.
func (c *conn) turn() (*request, bool) {
	c.idle.Add(1)
	c.reading.Lock()
	c.idle.Add(-1)
	for !c.ended {
		if !c.sendQuick() {
			return c.pass(nil)
		}
		r, err := c.receive()
		switch {
		case err != nil:
			c.ended = true
			c.drain()
			c.logEnd(err)
		case r == nil || c.quick(r):
		case !c.leasable(r):
			return c.pass(r)
		case !c.answerLeased(r):
			return nil, true
		}
	}
	c.reading.Unlock()
	return nil, false
}

// pass ends the turn of a worker that goes on with r, nil for replies to be sent.
func (c *conn) pass(r *request) (*request, bool) {
	c.handOn()
	c.reading.Unlock()
	return r, true
}

// handOn sees to it that there is somebody for the next turn.
func (c *conn) handOn() {
	if c.idle.Load() == 0 && c.count < maxRequests {
		c.count++
		c.workers.Go(c.work)
	}
}

// retire counts a worker out. A worker may also end in the middle of a request, when its thread is lost to it.
func (c *conn) retire() {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.count--
}

func (c *conn) logEnd(err error) {
	switch {
	case errors.Is(err, ninep.ErrMalformed):
		if addr, _ := tcpPeer(c.net); c.server.complaints.first(addr) {
			c.log.Info("Ended a 9P connection for what it sent", "reason", err.Error())
		}
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
	default:
		c.log.V(1).Info("9P connection lost", "reason", err.Error())
	}
}

// handle answers a request. Whatever happens in there, it is answered.
func (c *conn) handle(r *request) {
	defer c.exchange.send()
	for i := range r.held {
		if ready := r.holds[i].ready; ready != nil {
			<-ready
			r.holds[i].ready = nil
		}
	}
	c.run(r)
}

// run carries a request out and gives back what it holds, files to be closed among it. Requests beyond maxRunning wait, as
// goroutines do, without a thread.
func (c *conn) run(r *request) {
	c.server.running <- struct{}{}
	defer func() {
		c.finish(r)
		<-c.server.running
	}()
	c.carryOut(r)
}

// carryOut does what a request asks for, now that it has its places.
func (c *conn) carryOut(r *request) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error(fmt.Errorf("panic: %v", p), "A 9P request failed", "message", r.kind.String(), "stack", string(debug.Stack()))
			r.fail(unix.EIO)
		}
	}()
	if r.err == nil {
		r.err = c.serve(r)
	}
	if r.err != nil {
		r.fail(r.err)
	}
}
