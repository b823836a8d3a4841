package ninep_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// TestMsize: the client proposes, a smaller answer counts, a larger one does not.
func TestMsize(t *testing.T) {
	const most = stream.DefaultMaxMsize
	for _, c := range []struct {
		want, answer, offered, agreed uint32
	}{
		{0, most, most, most},
		{0, 8192, most, 8192},
		{100 << 10, 1 << 20, 100 << 10, 100 << 10},
		{most * 2, most * 2, most, most},
		{4096, 4096, 4096, 4096},
	} {
		var offered uint32
		first := true
		s, err := ninep.Open(testContext(t), ninep.Config{Msize: c.want, Dial: scripted(t, func(tag uint16, m ninep.Message) any {
			v, ok := m.(*ninep.Tversion)
			if !ok || tag != ninep.NoTag || !first {
				t.Errorf("%v with tag %d, Tversion with NOTAG alone wanted", m.Type(), tag)
				return nil
			}
			first, offered = false, v.Msize
			return &ninep.Rversion{Msize: c.answer, Version: ninep.Version}
		})})
		ok(t, err)
		if got := s.Features().Msize; offered != c.offered || got != c.agreed || s.MaxPayload() != int(got)-24 {
			t.Errorf("%+v: offered %d, agreed on %d", c, offered, got)
		}
		ok(t, s.Close())
		ok(t, s.Close())
	}
}

// TestNotNineP: who is no 9P2000.L server is told apart from the rest, with the reason.
func TestNotNineP(t *testing.T) {
	version := func(msize uint32, version string) any { return &ninep.Rversion{Msize: msize, Version: version} }
	for name, c := range map[string]struct {
		answer any
		is     error
		says   string
	}{
		"unknown dialect": {version(8192, "unknown"), ninep.ErrDialect, `version "unknown"`},
		"older dialect":   {version(8192, "9P2000.u"), ninep.ErrDialect, `"9P2000.u"`},
		"tiny msize":      {version(4095, ninep.Version), ninep.ErrMsizeTooSmall, "4095"},
		"refusal":         {&ninep.Rlerror{Errno: uint32(unix.EMSGSIZE)}, ninep.ErrDialect, "message too long"},
		"ganesha's":       {&ninep.Rerror{Errno: uint32(unix.EINVAL)}, ninep.ErrDialect, "invalid argument"},
		"another reply":   {&ninep.Rclunk{}, ninep.ErrNotNineP, ""},
		"HTTP":            {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), ninep.ErrNotNineP, "Tversion"},
		"SSH":             {[]byte("SSH-2.0-OpenSSH_9.2\r\n"), ninep.ErrNotNineP, "Tversion"},
		"lying string":    {[]byte("\x0f\x00\x00\x00\x65\xff\xff\x00\x20\x00\x00\xff\xff9P"), ninep.ErrNotNineP, "malformed"},
	} {
		_, err := ninep.Open(testContext(t), ninep.Config{Dial: scripted(t, func(uint16, ninep.Message) any { return c.answer })})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSilentPeer: who says nothing, or hangs up, does not hold Open.
func TestSilentPeer(t *testing.T) {
	for name, peer := range map[string]func(net.Conn){
		"silent":   func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"hangs up": func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 4)); _ = c.Close() },
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_, err := ninep.Open(ctx, ninep.Config{Dial: func(context.Context) (transport.Conn, error) {
			near, far := net.Pipe()
			go peer(far)
			return stream.New(near, stream.Options{Name: "peer"}), nil
		}})
		cancel()
		if !errors.Is(err, ninep.ErrNotNineP) || !strings.Contains(err.Error(), "no answer to Tversion") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "silent" && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused := errors.New("connection refused")
	_, err := ninep.Open(testContext(t), ninep.Config{Dial: func(context.Context) (transport.Conn, error) { return nil, refused }})
	if !errors.Is(err, refused) {
		t.Errorf("no server: %v", err)
	}
	if _, err := ninep.Open(testContext(t), ninep.Config{Msize: 4095, Dial: scripted(t, nil)}); !errors.Is(err, ninep.ErrMsizeTooSmall) {
		t.Errorf("msize 4095: %v", err)
	}
}

// TestSmallerMsizeAfterReconnect: the server behind the next connection may take less, and what was under way is cut
// to its measure.
func TestSmallerMsizeAfterReconnect(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{Msize: 64 << 10})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		switch m := m.(type) {
		case *ninep.Tversion:
			p.request(tag, &ninep.Tversion{Msize: 8 << 10, Version: m.Version})
			return false
		case *ninep.Twrite:
			if len(m.Data) > 8<<10 {
				_ = p.client.Close()
				return false
			}
		}
		return true
	})
	want := pattern(200 << 10)
	if n, err := f.Write(ctx, want, 0); n != len(want) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	got := make([]byte, len(want))
	if n, err := f.Read(ctx, got, 0); n != len(want) || err != nil || string(got) != string(want) {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if s.MaxPayload() != 8<<10-24 || s.Features().Msize != 8<<10 {
		t.Errorf("payload %d after msize 8192", s.MaxPayload())
	}
}
