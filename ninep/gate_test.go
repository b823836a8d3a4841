package ninep_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// gate stands between clients and the exporter of a directory: it sees every message, can answer for the server, and
// can take the server away.
type gate struct {
	t       *testing.T
	root    string // the exported directory
	backend string // the exporter's socket
	attach  ninep.AttachOptions

	mu        sync.Mutex
	down      bool
	pairs     map[*pair]struct{}
	dials     int
	onRequest func(p *pair, tag uint16, m ninep.Message) (pass bool)
	onReply   func(p *pair, tag uint16, m ninep.Message) (pass bool)
	requests  []ninep.MsgType
}

// pair is one connection through the gate.
type pair struct {
	gate           *gate
	client, server net.Conn
	toClient       sync.Mutex
	toServer       sync.Mutex
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{t: t, root: t.TempDir(), attach: ninep.AttachOptions{Aname: "/"}, pairs: map[*pair]struct{}{}}
	g.backend = filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", g.backend)
	if err != nil {
		t.Fatal(err)
	}
	exporter, err := server.New(server.Options{Root: g.root})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- exporter.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		g.kill()
		_ = exporter.Close()
		<-served
	})
	return g
}

// dial is a ninep.Config's Dial.
func (g *gate) dial(ctx context.Context) (transport.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dials++
	if g.down {
		return nil, errors.New("the gate is down")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", g.backend)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	p := &pair{gate: g, client: far, server: conn}
	g.pairs[p] = struct{}{}
	go p.pump(p.client, p.requested)
	go p.pump(p.server, p.replied)
	return stream.New(near, stream.Options{Name: "gate"}), nil
}

// kill takes the server away: connections break, and dialling fails until revive.
func (g *gate) kill() {
	g.mu.Lock()
	g.down = true
	g.mu.Unlock()
	g.cut()
}

// cut breaks the connections.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.pairs {
		_ = p.client.Close()
		_ = p.server.Close()
	}
	clear(g.pairs)
}

func (g *gate) revive() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = false
}

// intercept sets what is asked about every request, and may answer it: true passes it on.
func (g *gate) intercept(f func(p *pair, tag uint16, m ninep.Message) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.onRequest = f
}

// interceptReplies is intercept for replies.
func (g *gate) interceptReplies(f func(p *pair, tag uint16, m ninep.Message) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.onReply = f
}

// count is how many requests of this type came so far.
func (g *gate) count(of ninep.MsgType) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, t := range g.requests {
		if t == of {
			n++
		}
	}
	return n
}

// pump passes messages on from one side until it breaks, and then breaks the other.
func (p *pair) pump(from net.Conn, pass func([]byte)) {
	defer p.client.Close()
	defer p.server.Close()
	for {
		head := make([]byte, 4)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		frame := make([]byte, binary.LittleEndian.Uint32(head))
		copy(frame, head)
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return
		}
		pass(frame)
	}
}

func (p *pair) requested(frame []byte) {
	tag, m, err := ninep.Decode(frame)
	if err != nil {
		p.gate.t.Errorf("the client sent %x: %v", frame[:min(len(frame), 64)], err)
		return
	}
	g := p.gate
	g.mu.Lock()
	g.requests = append(g.requests, m.Type())
	ask := g.onRequest
	g.mu.Unlock()
	if ask == nil || ask(p, tag, m) {
		p.forward(frame)
	}
}

func (p *pair) replied(frame []byte) {
	tag, m, err := ninep.Decode(frame)
	if err != nil {
		p.gate.t.Errorf("the exporter sent %x: %v", frame[:min(len(frame), 64)], err)
		return
	}
	g := p.gate
	g.mu.Lock()
	ask := g.onReply
	g.mu.Unlock()
	if ask == nil || ask(p, tag, m) {
		p.raw(frame)
	}
}

// forward sends a message to the server.
func (p *pair) forward(frame []byte) {
	p.toServer.Lock()
	defer p.toServer.Unlock()
	_, _ = p.server.Write(frame)
}

// raw sends bytes to the client.
func (p *pair) raw(b []byte) {
	p.toClient.Lock()
	defer p.toClient.Unlock()
	_, _ = p.client.Write(b)
}

// reply sends a message to the client.
func (p *pair) reply(tag uint16, m ninep.Message) { p.raw(frame(p.gate.t, tag, m)) }

// request sends a message to the server in the client's name.
func (p *pair) request(tag uint16, m ninep.Message) { p.forward(frame(p.gate.t, tag, m)) }

// open opens a session through the gate and attaches.
func (g *gate) open(c ninep.Config) (*ninep.Session, *ninep.Fid) {
	g.t.Helper()
	c.Dial = g.dial
	s, err := ninep.Open(testContext(g.t), c)
	ok(g.t, err)
	g.t.Cleanup(func() { _ = s.Close() })
	root, err := s.Attach(testContext(g.t), g.attach)
	ok(g.t, err)
	return s, root
}

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
