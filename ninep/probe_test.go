package ninep_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// isProbe reports whether the message asks nothing of any request.
func isProbe(m ninep.Message) bool {
	f, ok := m.(*ninep.Tflush)
	return ok && f.OldTag == ninep.NoTag
}

// TestFrozenServer: a server that answers nothing any more on a connection that lives is lost, and says so.
func TestFrozenServer(t *testing.T) {
	var frozen, probed atomic.Bool
	s, err := ninep.Open(testContext(t), ninep.Config{
		Dial: scripted(t, func(_ uint16, m ninep.Message) any {
			if !frozen.Load() {
				return pass
			}
			if isProbe(m) {
				probed.Store(true)
			}
			return nil
		}),
		ReconnectTimeout: -1,
		ProbeAfter:       25 * time.Millisecond,
	})
	ok(t, err)
	defer s.Close()
	root := must(s.Attach(testContext(t), ninep.AttachOptions{}))(t)
	frozen.Store(true)
	io := &ninep.IO{Buf: make([]byte, 10)}
	done := make(chan struct{})
	io.Done = func(*ninep.IO) { close(done) }
	root.StartRead(io)
	_, err = root.Getattr(testContext(t), ninep.AttrBasic)
	<-done
	for _, err := range []error{err, io.Err} {
		if !errors.Is(err, ninep.ErrLost) || !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "answered nothing for 400ms") {
			t.Errorf("a frozen server: %v", err)
		}
	}
	if !probed.Load() {
		t.Error("it was given up without a probe")
	}
}

// TestSilentServer: that a server answers nothing is known before it counts as lost, and over once it answers.
func TestSilentServer(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	s, err := ninep.Open(testContext(t), ninep.Config{
		Dial: scripted(t, func(_ uint16, m ninep.Message) any {
			if m.Type() == ninep.TypeTwalk {
				close(held)
				<-release
			}
			return pass
		}),
		ProbeAfter: 500 * time.Millisecond,
	})
	ok(t, err)
	defer s.Close()
	root := must(s.Attach(testContext(t), ninep.AttachOptions{}))(t)
	if silent := s.Status().Silent; silent != 0 {
		t.Errorf("a server that was asked nothing is silent for %v", silent)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := root.Walk(context.Background())
		answered <- err
	}()
	<-held
	for s.Status().Silent == 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	ok(t, <-answered)
	for s.Status().Silent != 0 {
		time.Sleep(time.Millisecond)
	}
}

// TestFrozenAfterReconnect: a server that freezes while fids are bound again is not waited for either.
func TestFrozenAfterReconnect(t *testing.T) {
	g := newGate(t)
	var dials atomic.Int32
	frozen := scripted(t, func(_ uint16, m ninep.Message) any {
		if m.Type() == ninep.TypeTversion {
			return pass
		}
		return nil
	})
	s, err := ninep.Open(testContext(t), ninep.Config{
		ProbeAfter: 12 * time.Millisecond,
		Dial: func(ctx context.Context) (transport.Conn, error) {
			if dials.Add(1) == 2 {
				return frozen(ctx)
			}
			return g.dial(ctx)
		},
	})
	ok(t, err)
	defer s.Close()
	root := must(s.Attach(testContext(t), ninep.AttachOptions{Aname: "/"}))(t)
	g.cut()
	_, err = root.Getattr(testContext(t), ninep.AttrBasic)
	ok(t, err)
	if n := dials.Load(); n < 3 {
		t.Errorf("%d connections made", n)
	}
}

// TestSlowServerIsNotFrozen: one request may take as long as it wants on a server that answers others meanwhile, which is
// found out as soon as nothing is heard of it.
func TestSlowServerIsNotFrozen(t *testing.T) {
	g := newGate(t)
	const probeAfter = 500 * time.Millisecond
	s, root := g.open(ninep.Config{ProbeAfter: probeAfter})
	type held struct {
		pair *pair
		tag  uint16
		m    ninep.Message
	}
	slow, probes := make(chan held, 1), make(chan time.Duration, 100)
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		if m.Type() == ninep.TypeTgetattr {
			slow <- held{p, tag, m}
			return false
		}
		if isProbe(m) {
			probes <- s.Status().Silent
		}
		return true
	})
	done := make(chan error)
	go func() { _, err := root.Getattr(testContext(t), ninep.AttrBasic); done <- err }()
	h := <-slow
	for range 3 {
		if silent := <-probes; silent > 2*probeAfter { // one may pass on the probe's way
			t.Errorf("probed when silent for %v, want %v", silent, probeAfter)
		}
	}
	h.pair.request(h.tag, h.m)
	ok(t, <-done)
	if n := s.Status().Reconnects; n != 0 {
		t.Errorf("%d reconnects", n)
	}
}

// TestWithdrawnCallIsNoReply: that somebody gives up before his message was sent is no sign of life of the server.
func TestWithdrawnCallIsNoReply(t *testing.T) {
	s, err := ninep.Open(testContext(t), ninep.Config{
		Dial: scripted(t, func(_ uint16, m ninep.Message) any {
			if m.Type() == ninep.TypeTread || isProbe(m) {
				return nil
			}
			return pass
		}),
		ReconnectTimeout: -1,
		ProbeAfter:       500 * time.Millisecond,
	})
	ok(t, err)
	defer s.Close()
	const size = 4 << 10
	root := must(s.Attach(testContext(t), ninep.AttachOptions{Flow: transport.NewFlow(size)}))(t)
	file := must(root.Walk(testContext(t), "file"))(t)
	ok(t, file.Open(testContext(t), 0))
	read := func() *ninep.IO {
		io := &ninep.IO{Buf: make([]byte, size), Done: func(*ninep.IO) {}}
		file.StartRead(io)
		return io
	}
	read()
	for s.Status().Silent == 0 {
		time.Sleep(time.Millisecond)
	}
	before := s.Status().Silent
	read().Cancel()
	for s.Status().Silent == before {
		time.Sleep(time.Millisecond)
	}
	if after := s.Status().Silent; after < before {
		t.Errorf("silent for %v, and after a call was withdrawn for %v", before, after)
	}
}
