package ninetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// scope is what one rule works with: a session of its own, attached, and an
// empty directory of its own on the server. Its methods fail the rule where
// the server does not do what is asked.
type scope struct {
	tb      testing.TB
	ctx     context.Context
	server  Server
	session *ninep.Session
	root    *ninep.Fid
	dir     *ninep.Fid
	dirName string
	fids    map[*ninep.Fid]struct{} // clunked when the rule ends
}

// serial tells the directories of a test run apart.
var serial atomic.Uint64

func newScope(tb testing.TB, server Server) *scope {
	tb.Helper()
	s := openScope(tb, server, ninep.Config{Dial: server.Dial})
	s.dirName = fmt.Sprintf("ninetest-%d", serial.Add(1))
	s.dir = s.mkdir(s.root, s.dirName)
	tb.Cleanup(func() { s.removeAll(s.root, s.dirName) })
	return s
}

// openScope makes a session and attaches to it; both end with the test.
func openScope(tb testing.TB, server Server, config ninep.Config) *scope {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), server.timeout)
	tb.Cleanup(cancel)
	s := &scope{tb: tb, ctx: ctx, server: server, fids: map[*ninep.Fid]struct{}{}}
	config.ReconnectTimeout, config.Dialects = -1, []ninep.Dialect{server.Dialect}
	var err error
	s.session, err = ninep.Open(ctx, config)
	s.ok(err, "open a session")
	tb.Cleanup(func() {
		if err := s.session.Close(); err != nil {
			tb.Errorf("close the session: %v", err)
		}
	})
	s.root, err = s.session.Attach(ctx, s.attachOptions())
	s.ok(err, "attach")
	s.keep(s.root)
	tb.Cleanup(s.clunkAll)
	return s
}

// second is another client of the same server, in the same directory.
func (s *scope) second() *scope {
	s.tb.Helper()
	return s.client(ninep.Config{Dial: s.server.Dial})
}

// client is a second one with a configuration of its own.
func (s *scope) client(config ninep.Config) *scope {
	s.tb.Helper()
	o := openScope(s.tb, s.server, config)
	o.dirName = s.dirName
	o.dir = o.walk(o.root, s.dirName)
	return o
}

func (s *scope) dialect() ninep.Dialect { return s.server.Dialect }

func (s *scope) attachOptions() ninep.AttachOptions {
	return ninep.AttachOptions{UID: s.server.UID, Aname: s.server.Aname, ZeroCopy: s.server.ZeroCopy}
}

// keep has the fid clunked when the rule ends.
func (s *scope) keep(f *ninep.Fid) *ninep.Fid {
	s.fids[f] = struct{}{}
	return f
}

// clunk gives a fid back before the rule ends.
func (s *scope) clunk(f *ninep.Fid) {
	s.tb.Helper()
	delete(s.fids, f)
	s.ok(f.Clunk(s.ctx), "clunk")
}

func (s *scope) clunkAll() {
	for f := range s.fids {
		if err := f.Clunk(s.ctx); err != nil && !errors.Is(err, ninep.ErrLost) {
			s.tb.Errorf("clunk %s: %v", f.Path(), err)
		}
	}
	clear(s.fids)
}

// ok ends the rule on an error.
func (s *scope) ok(err error, what string) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatalf("%s: %v", what, err)
	}
}

// fails ends the rule unless the error is one of those numbers.
func (s *scope) fails(err error, what string, want ...unix.Errno) {
	s.tb.Helper()
	if !ninep.IsErrno(err, want...) {
		s.tb.Fatalf("%s: error %v, want %v", what, err, want)
	}
}

// errno is the number that an error carries, 0 if none.
func errno(err error) unix.Errno {
	var e unix.Errno
	errors.As(err, &e)
	return e
}
