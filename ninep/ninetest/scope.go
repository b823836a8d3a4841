package ninetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	s := bareScope(tb, server)
	s.session, s.root = s.open(ninep.Config{})
	s.dirName = fmt.Sprintf("ninetest-%d", serial.Add(1))
	s.dir = s.mkdir(s.root, s.dirName)
	tb.Cleanup(func() { s.removeAll(s.root, s.dirName) })
	return s
}

// bareScope has no session yet.
func bareScope(tb testing.TB, server Server) *scope {
	ctx, cancel := context.WithTimeout(context.Background(), ruleTimeout)
	tb.Cleanup(cancel)
	return &scope{tb: tb, ctx: ctx, server: server, fids: map[*ninep.Fid]struct{}{}}
}

// second is another client of the same server, in the same directory.
func (s *scope) second() *scope {
	s.tb.Helper()
	o := bareScope(s.tb, s.server)
	o.session, o.root = o.open(ninep.Config{})
	o.dirName = s.dirName
	o.dir = o.walk(o.root, s.dirName)
	return o
}

// open makes a session and attaches to it; both end with the test.
func (s *scope) open(config ninep.Config) (*ninep.Session, *ninep.Fid) {
	s.tb.Helper()
	config.ReconnectTimeout = -1
	if config.Dial == nil {
		config.Dial = s.server.Dial
	}
	session, err := ninep.Open(s.ctx, config)
	s.ok(err, "open a session")
	s.tb.Cleanup(func() {
		if err := session.Close(); err != nil {
			s.tb.Errorf("close the session: %v", err)
		}
	})
	root, err := session.Attach(s.ctx, s.attachOptions())
	s.ok(err, "attach")
	s.keep(root)
	s.tb.Cleanup(s.clunkAll)
	return session, root
}

func (s *scope) attachOptions() ninep.AttachOptions {
	return ninep.AttachOptions{UID: s.server.UID, Aname: s.server.Aname}
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
	if !slices.ContainsFunc(want, func(e unix.Errno) bool { return errors.Is(err, e) }) {
		s.tb.Fatalf("%s: error %v, want %v", what, err, want)
	}
}

// errno is the number that an error carries, 0 if none.
func errno(err error) unix.Errno {
	var e unix.Errno
	errors.As(err, &e)
	return e
}
