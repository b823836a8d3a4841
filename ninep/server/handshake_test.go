package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
)

// secured is a server behind TLS, and its log.
type secured struct {
	t       *testing.T
	server  *server.Server
	ca      *mtlstest.CA
	address string
	stop    context.CancelFunc
	served  chan error

	mu  sync.Mutex
	log strings.Builder
}

func (s *secured) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// logged waits for a line with all of these words.
func (s *secured) logged(words ...string) {
	s.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		text := s.log.String()
		s.mu.Unlock()
		for line := range strings.Lines(text) {
			all := true
			for _, word := range words {
				all = all && strings.Contains(line, word)
			}
			if all {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("no line of the log has %q:\n%s", words, text)
		}
	}
}

func serveTLS(t *testing.T, o server.Options) *secured {
	t.Helper()
	e := newExport(t, o)
	s := &secured{t: t, server: e.server, ca: mtlstest.NewCA(t, "ca"), served: make(chan error, 1)}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = plain.Addr().String()
	log := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(s), textlogger.Verbosity(1)))
	ctx, stop := context.WithCancel(klog.NewContext(context.Background(), log))
	l := mtls.NewListener(plain, mtlstest.Source(t, s.ca.Server("127.0.0.1")))
	go func() { s.served <- e.server.Serve(ctx, l) }()
	s.stop = sync.OnceFunc(func() {
		stop()
		if err := <-s.served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *secured) plain() net.Conn {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	return nc
}

func (s *secured) client(p *mtls.PEM) *mtls.Conn {
	s.t.Helper()
	return s.secure(s.plain(), p)
}

// secure shakes hands.
func (s *secured) secure(nc net.Conn, p *mtls.PEM) *mtls.Conn {
	s.t.Helper()
	c, err := mtls.Client(s.t.Context(), nc, "127.0.0.1", mtlstest.Source(s.t, p))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func TestTheLogNamesWhoWasRefusedAndWhy(t *testing.T) {
	s := serveTLS(t, server.Options{})
	c := s.client(s.ca.Trusting(mtlstest.NewCA(t, "elsewhere").Client("intruder")))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("it was let in")
	}
	s.logged("Refused a 9P client", c.LocalAddr().String(), "CN=intruder", "CN=elsewhere", "client CA file does not hold")
}

func TestTheLogNamesTheCertificate(t *testing.T) {
	s := serveTLS(t, server.Options{})
	c := &client{t: t, nc: s.client(s.ca.Client("node-1"))}
	c.version(8192)
	s.logged("9P client connected", "CN=node-1")
}

// A certificate lets in from anywhere; --allow narrows it.
func TestAllowNarrowsTLS(t *testing.T) {
	s := serveTLS(t, server.Options{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if _, err := s.plain().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a peer that is not allowed: %v, want EOF", err)
	}
	s.logged("not among the allowed addresses", "127.0.0.1")
}

// Peers that connect and say nothing keep nobody out, and do not keep the server
// from ending.
func TestSilentHandshakes(t *testing.T) {
	s := serveTLS(t, server.Options{})
	first := s.plain()
	for range 140 {
		s.plain()
	}
	eventually(t, "13 of 141 to have made room", func() bool { return s.server.Stats().Refused.Handshake == 13 })
	c := &client{t: t, nc: s.client(s.ca.Client("node-1"))}
	c.version(8192)
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("the oldest of too many handshakes was not ended")
	}
	s.logged("Refused a 9P client", "had to make room")
	ended := make(chan struct{})
	go func() { s.stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(8 * time.Second): // a handshake may take ten
		t.Error("the server waits for handshakes")
		<-ended
	}
}

// A crowd of one address makes room itself: who comes from another one may take its time.
func TestCrowdOfOneAddress(t *testing.T) {
	s := serveTLS(t, server.Options{})
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	slow, err := from.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	for range 140 {
		s.plain()
	}
	eventually(t, "13 of 141 to have made room", func() bool { return s.server.Stats().Refused.Handshake == 13 })
	c := &client{t: t, nc: s.secure(slow, s.ca.Client("node-1"))}
	c.version(8192)
}
