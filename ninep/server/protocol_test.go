package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

func TestVersion(t *testing.T) {
	e := newExport(t, server.Options{MaxMsize: 8192})
	c := e.dial()
	c.fails(&ninep.Tattach{Fid: 0, Afid: ninep.NoFID}, unix.EPROTO)
	for _, v := range []struct {
		msize, wantMsize uint32
		version, want    string
	}{
		{1 << 20, 8192, "9P2000.L", "9P2000.L"},
		{4096, 4096, "9P2000.L", "9P2000.L"},
		{8192, 8192, "9P2000.L.Google.3", "9P2000.L"},
		{8192, 8192, "9P2000.u", "9P2000.u"},
		{8192, 8192, "9P2000.u.x.y", "9P2000.u"},
		{8192, 8192, "9P2000", "9P2000"},
		{8192, 8192, "9P2000.X", "9P2000"},
		{8192, 8192, "9P2000.", "9P2000"},
		{8192, 8192, "9P2001", "9P2000"},
		{8192, 8192, "9P3000.L", "9P2000"},
		{8192, 8192, "9P1999", "unknown"},
		{8192, 8192, "9P2000L", "unknown"},
		{8192, 8192, "9P", "unknown"},
		{8192, 8192, "9P-2000", "unknown"},
		{8192, 8192, "9P99999999999999999999", "unknown"},
		{8192, 8192, "2000", "unknown"},
		{8192, 8192, "unknown", "unknown"},
		{8192, 8192, "", "unknown"},
	} {
		got := ask[*ninep.Rversion](c, &ninep.Tversion{Msize: v.msize, Version: v.version})
		if got.Msize != v.wantMsize || got.Version != v.want {
			t.Errorf("%+v answered %+v", v, got)
		}
	}
	c.fails(&ninep.Tattach{Fid: 0, Afid: ninep.NoFID}, unix.EPROTO)
	c.fails(&ninep.Tversion{Msize: 4095, Version: ninep.Version}, unix.EMSGSIZE)
	c.dialect = ninep.DialectU
	c.fails(&ninep.Tversion{Msize: 4095, Version: "9P2000.u"}, unix.EMSGSIZE)
}

// A server that is told which dialects to speak offers what is left of what a client asks for.
func TestVersionOfSomeDialects(t *testing.T) {
	for _, test := range []struct {
		spoken []ninep.Dialect
		want   map[string]string
	}{
		{[]ninep.Dialect{ninep.DialectL}, map[string]string{
			"9P2000.L": "9P2000.L", "9P2000.u": "unknown", "9P2000": "unknown", "9P2000.X": "unknown",
		}},
		{[]ninep.Dialect{ninep.DialectU}, map[string]string{"9P2000.L": "unknown", "9P2000.u": "9P2000.u", "9P2000": "unknown"}},
		{[]ninep.Dialect{ninep.DialectLegacy}, map[string]string{
			"9P2000.L": "9P2000", "9P2000.u": "9P2000", "9P2000": "9P2000",
		}},
	} {
		e := newExport(t, server.Options{Dialects: test.spoken})
		c := e.dial()
		for version, want := range test.want {
			if got := ask[*ninep.Rversion](c, &ninep.Tversion{Msize: 8192, Version: version}); got.Version != want {
				t.Errorf("of %v: %s answered %s, want %s", test.spoken, version, got.Version, want)
			}
		}
	}
	if _, err := server.New(server.Options{Root: t.TempDir(), Dialects: []ninep.Dialect{9}}); !errors.Is(err, server.ErrOptions) {
		t.Errorf("a dialect that there is not: %v", err)
	}
}

// Tversion gives every fid and lock back and honours a smaller msize from then on.
func TestVersionResets(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", strings.Repeat("x", 10000), 0o644)
	a, b := e.locker(1), e.locker(2)
	a.lock(ninep.WriteLock, 0, 0)
	a.version(4096)
	a.fails(&ninep.Tgetattr{Fid: 0}, unix.EBADF)
	if got := b.lock(ninep.WriteLock, 0, 0); got != ninep.LockSuccess {
		t.Errorf("the lock is still held: %d", got)
	}
	a.attach(0, 0, "")
	if got := len(a.read(a.open(0, "f"), 0, 1<<20)); got != 4096-ninep.ReadHeadSize {
		t.Errorf("read %d bytes", got)
	}
}

func TestReplyThatDoesNotFit(t *testing.T) {
	e := newExport(t, server.Options{})
	if err := os.Symlink(strings.Repeat("x", 4095), e.path("long")); err != nil {
		t.Fatal(err)
	}
	c := e.client(0)
	if got := ask[*ninep.Rreadlink](c, &ninep.Treadlink{Fid: c.walk("long")}).Target; len(got) != 4095 {
		t.Errorf("read %d bytes of target", len(got))
	}
	c.version(4096)
	c.attach(0, 0, "")
	c.fails(&ninep.Treadlink{Fid: c.walk("long")}, unix.EMSGSIZE)
}

// A client need not wait for the replies of what prepares the fid that it uses.
func TestPipelinedFid(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "content", 0o644)
	c := e.client(0)
	messages := []ninep.Message{
		&ninep.Twalk{Fid: 0, NewFid: 5, Names: []string{"f"}},
		&ninep.Tgetattr{Fid: 5, Mask: ninep.AttrAll},
		&ninep.Tlopen{Fid: 5, Flags: ninep.OpenReadWrite},
		&ninep.Tread{Fid: 5, Count: 100},
		&ninep.Twrite{Fid: 5, Data: []byte("C")},
		&ninep.Tclunk{Fid: 5},
		&ninep.Twalk{Fid: 0, NewFid: 5},
		&ninep.Tlcreate{Fid: 5, Name: "g", Flags: ninep.OpenReadWrite, Mode: 0o644, GID: ninep.NoUID},
		&ninep.Twrite{Fid: 5, Data: []byte("new")},
		&ninep.Tclunk{Fid: 5},
		&ninep.Twalk{Fid: 0, NewFid: 6, Names: []string{"none"}},
		&ninep.Tgetattr{Fid: 6},
		&ninep.Tclunk{Fid: 6},
	}
	for range 50 {
		replies := c.exchange(messages)
		for i, m := range replies {
			want := messages[i].Type() + 1
			if i >= 10 {
				want = ninep.TypeRlerror
			}
			if m.Type() != want {
				t.Fatalf("%v: %+v", messages[i].Type(), m)
			}
		}
	}
	if e.read("f") != "Content" || e.read("g") != "new" {
		t.Errorf("wrote %q and %q", e.read("f"), e.read("g"))
	}
}

// exchange sends all at once and returns the replies in the order of the requests.
func (c *client) exchange(messages []ninep.Message) []ninep.Message {
	c.t.Helper()
	var out []byte
	for i, m := range messages {
		head, err := ninep.Append(out, uint16(i), m)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(head, ninep.Payload(m)...)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.nc.Write(out)
		sent <- err
	}()
	replies := make([]ninep.Message, len(messages))
	for range messages {
		tag, m := c.receive()
		if replies[tag] != nil {
			c.t.Fatalf("tag %d answered twice", tag)
		}
		replies[tag] = m
	}
	if err := <-sent; err != nil {
		c.t.Fatal(err)
	}
	return replies
}

// The reply to a flushed request never comes after Rflush, and the flush of a flush comes last.
func TestFlush(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", strings.Repeat("x", 1<<20), 0o644)
	c := e.client(0)
	fid := c.open(0, "f")
	const tags = 40
	for range 20 {
		var out []byte
		for tag := uint16(0); tag < tags; tag++ {
			out, _ = ninep.Append(out, tag, &ninep.Tread{Fid: fid, Count: 100000})
			out, _ = ninep.Append(out, 1000+tag, &ninep.Tflush{OldTag: tag})
			out, _ = ninep.Append(out, 2000+tag, &ninep.Tflush{OldTag: 1000 + tag})
		}
		go func() { _, _ = c.nc.Write(out) }()
		seen := make(map[uint16]int)
		for i := range 3 * tags {
			tag, _ := c.receive()
			seen[tag] = i
		}
		for tag := uint16(0); tag < tags; tag++ {
			if seen[tag] > seen[1000+tag] || seen[1000+tag] > seen[2000+tag] {
				t.Fatalf("tag %d answered at %d, its flush at %d, the flush of that at %d", tag, seen[tag], seen[1000+tag], seen[2000+tag])
			}
		}
	}
	ask[*ninep.Rflush](c, &ninep.Tflush{OldTag: 999})
	c.tag = 20
	ask[*ninep.Rflush](c, &ninep.Tflush{OldTag: 21}) // itself
}

// More bytes than may be in memory are asked for at once; all are answered.
func TestBackpressure(t *testing.T) {
	e := newExport(t, server.Options{MaxInFlight: 1})
	content := strings.Repeat("0123456789abcdef", 4096)
	e.write("f", content, 0o644)
	c := e.client(0)
	fid := c.open(ninep.OpenReadWrite, "f")
	var messages []ninep.Message
	for i := range 500 {
		if i%2 == 0 {
			messages = append(messages, &ninep.Tread{Fid: fid, Count: 65536})
		} else {
			messages = append(messages, &ninep.Twrite{Fid: fid, Data: []byte(content)})
		}
	}
	for i, m := range c.exchange(messages) {
		switch m := m.(type) {
		case *ninep.Rread:
			if string(m.Data) != content {
				t.Fatalf("reply %d is not what was written", i)
			}
		case *ninep.Rwrite:
			if int(m.Count) != len(content) {
				t.Fatalf("reply %d: %d bytes written", i, m.Count)
			}
		default:
			t.Fatalf("reply %d: %+v", i, m)
		}
	}
}

func TestLimits(t *testing.T) {
	e := newExport(t, server.Options{MaxFids: 20, MaxConns: 2})
	e.write("f", "", 0o644)
	c := e.client(0)
	for range 19 {
		c.walk()
	}
	c.fails(&ninep.Twalk{Fid: 0, NewFid: 999}, unix.EMFILE)
	c.clunk(2)
	c.walk("f")
	c.fails(&ninep.Twalk{Fid: 0, NewFid: 3}, unix.EEXIST)
	c.clunk(3)
	for range 3 {
		c.fails(&ninep.Twalk{Fid: 0, NewFid: 3, Names: []string{"none"}}, unix.ENOENT)
	}
	e.client(0)
	third := e.dial()
	third.ended()
}

func TestMalformedEndsTheConnection(t *testing.T) {
	head := func(size uint32, kind ninep.MsgType, tag uint16, body ...byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, size)
		return append(binary.LittleEndian.AppendUint16(append(b, byte(kind)), tag), body...)
	}
	e := newExport(t, server.Options{})
	for name, bytes := range map[string][]byte{
		"size less than a header":  head(6, ninep.TypeTread, 1),
		"size zero":                head(0, 0, 0),
		"more than msize":          head(1<<20+1, ninep.TypeTwrite, 1),
		"as much as there can be":  head(1<<32-1, ninep.TypeTwrite, 1),
		"Tread too short":          head(8, ninep.TypeTread, 1, 0),
		"Twrite without fields":    head(7, ninep.TypeTwrite, 1),
		"Twrite counts too much":   head(23, ninep.TypeTwrite, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0),
		"Tclunk with a byte more":  head(12, ninep.TypeTclunk, 1, 0, 0, 0, 0, 0),
		"a string beyond the end":  head(15, ninep.TypeTunlinkat, 1, 0, 0, 0, 0, 255, 255, 0, 0),
		"more names than a walk's": head(17, ninep.TypeTwalk, 1, 0, 0, 0, 0, 1, 0, 0, 0, 17, 0),
	} {
		t.Run(name, func(t *testing.T) {
			c := e.client(0)
			c.t = t
			if _, err := c.nc.Write(bytes); err != nil {
				t.Fatal(err)
			}
			c.ended()
		})
	}
	c := e.client(0)
	if _, err := c.nc.Write(append(head(11, 44, 7, 1, 2, 3, 4), head(11, ninep.TypeRclunk, 8, 1, 2, 3, 4)...)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, m := c.receive(); m.Type() != ninep.TypeRlerror || unix.Errno(m.(*ninep.Rlerror).Errno) != unix.EOPNOTSUPP {
			t.Errorf("an unknown message is answered %+v", m)
		}
	}
	c.getattr(0)
}

func TestReadOnly(t *testing.T) {
	e := newExport(t, server.Options{ReadOnly: true})
	e.write("f", "content", 0o666)
	e.mkdir("d", 0o777)
	c := e.client(0)
	if got := c.read(c.open(ninep.OpenReadOnly, "f"), 0, 100); got != "content" {
		t.Errorf("read %q", got)
	}
	f := c.walk("f")
	for _, m := range []ninep.Message{
		&ninep.Tlopen{Fid: f, Flags: ninep.OpenWriteOnly},
		&ninep.Tlopen{Fid: f, Flags: ninep.OpenReadWrite},
		&ninep.Tlopen{Fid: f, Flags: ninep.OpenTrunc},
		&ninep.Tlcreate{Fid: c.walk(), Name: "f", Flags: ninep.OpenReadOnly},
		&ninep.Tmkdir{Fid: 0, Name: "x"},
		&ninep.Tsymlink{Fid: 0, Name: "x", Target: "y"},
		&ninep.Tmknod{Fid: 0, Name: "x", Mode: unix.S_IFIFO},
		&ninep.Tlink{Dir: 0, Fid: f, Name: "x"},
		&ninep.Trename{Fid: f, Dir: 0, Name: "x"},
		&ninep.Trenameat{OldDir: 0, OldName: "f", NewDir: 0, NewName: "x"},
		&ninep.Tunlinkat{Dir: 0, Name: "f"},
		&ninep.Tsetattr{Fid: f, SetAttr: ninep.SetAttr{Valid: ninep.SetMode}},
		&ninep.Txattrcreate{Fid: f, Name: "user.a"},
		&ninep.Tremove{Fid: f},
	} {
		c.fails(m, unix.EROFS)
	}
}

func TestAllow(t *testing.T) {
	for _, test := range []struct {
		allow []netip.Prefix
		want  bool
	}{
		{nil, true},
		{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true},
		{[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, false},
	} {
		t.Run(fmt.Sprint(test.allow), func(t *testing.T) {
			e := newExport(t, server.Options{Allow: test.allow})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			served := make(chan error, 1)
			go func() { served <- e.server.Serve(ctx, l) }()
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
			c := &client{t: t, nc: nc}
			if test.want {
				c.version(8192)
			} else {
				c.ended()
			}
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
			c.ended()
			if refused := e.server.Stats().Refused; (refused == server.Refused{}) != test.want {
				t.Errorf("counted as refused: %+v", refused)
			}
			e.client(0) // a unix socket is always allowed
		})
	}
}

// What was read before the end is answered, and the answers arrive although the client has sent more.
func TestDrain(t *testing.T) {
	e := newExport(t, server.Options{})
	c := e.clientOverTCP(0)
	fid := c.create("f", 0o644)
	const size, most = 64 << 10, 2000
	go func() {
		for i := range uint16(most) {
			m := &ninep.Twrite{Fid: fid, Offset: uint64(i) * size, Data: bytes.Repeat([]byte("x"), size)}
			b, _ := ninep.Append(nil, i, m)
			if _, err := c.nc.Write(append(b, m.Data...)); err != nil {
				return
			}
		}
	}()
	answered := 0
	closed := make(chan struct{})
	for {
		if answered == 3 {
			go func() { e.server.Close(); close(closed) }()
		}
		if _, _, err := c.tryReceive(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("the connection ended with %v", err)
			}
			break
		}
		answered++
	}
	c.nc.Close()
	<-closed
	var st unix.Stat_t
	if err := unix.Stat(e.path("f"), &st); err != nil {
		t.Fatal(err)
	}
	if wrote := int(st.Blocks * 512 / size); wrote != answered {
		t.Errorf("%d writes done, %d answered", wrote, answered)
	}
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, o := range map[string]server.Options{
		"no root":        {},
		"msize too low":  {Root: dir, MaxMsize: 4095},
		"msize too high": {Root: dir, MaxMsize: 1 << 31},
		"negative":       {Root: dir, MaxFids: -1},
	} {
		if _, err := server.New(o); !errors.Is(err, server.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := server.New(server.Options{Root: dir + "/none"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a root that is missing: %v", err)
	}
	s, err := server.New(server.Options{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(context.Background(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
}
