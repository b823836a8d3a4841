package server_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// pipeListener hands out one end of a pipe.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.close.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// frames makes messages of pieces: a type, a length and so many bytes of body each.
func frames(script []byte) []byte {
	var out []byte
	for tag := uint16(0); len(script) >= 2; tag++ {
		kind, n := script[0], int(script[1])
		script = script[2:]
		body := script[:min(n, len(script))]
		script = script[len(body):]
		out = binary.LittleEndian.AppendUint32(out, uint32(ninep.HeaderSize+len(body)))
		out = append(out, kind)
		out = binary.LittleEndian.AppendUint16(out, tag)
		out = append(out, body...)
	}
	return out
}

// script is the opposite of frames.
func script(messages ...ninep.Message) []byte { return scriptIn(ninep.DialectL, messages...) }

func scriptIn(d ninep.Dialect, messages ...ninep.Message) []byte {
	var out []byte
	for _, m := range messages {
		b, err := d.Append(nil, 0, m)
		if err != nil {
			panic(err)
		}
		b = append(b, ninep.Payload(m)...)[ninep.HeaderSize:]
		out = append(append(out, byte(m.Type()), byte(len(b))), b...)
	}
	return out
}

func fuzzSeeds() [][]byte {
	none := ninep.NoUID
	return [][]byte{
		script(
			&ninep.Twalk{Fid: 0, NewFid: 1, Names: []string{"d", "f"}}, &ninep.Tgetattr{Fid: 1}, &ninep.Tlopen{Fid: 1, Flags: 2},
			&ninep.Tread{Fid: 1, Count: 100}, &ninep.Twrite{Fid: 1, Offset: 3, Data: []byte("data")}, &ninep.Tfsync{Fid: 1},
			&ninep.Tlock{Fid: 1, Kind: 1, ProcID: 1, ClientID: "c"}, &ninep.Tgetlock{Fid: 1, Kind: 1, Start: 5, Length: 6},
			&ninep.Tflush{OldTag: 3}, &ninep.Tclunk{Fid: 1}),
		script(
			&ninep.Twalk{Fid: 0, NewFid: 1}, &ninep.Tlcreate{Fid: 1, Name: "new", Flags: 2, Mode: 0o644, GID: none},
			&ninep.Twalk{Fid: 0, NewFid: 2}, &ninep.Tlopen{Fid: 2}, &ninep.Treaddir{Fid: 2, Count: 500},
			&ninep.Tsetattr{Fid: 1, SetAttr: ninep.SetAttr{Valid: 0x1ff, Mode: 0o600, Size: 7}}, &ninep.Tremove{Fid: 1}),
		script(
			&ninep.Tmkdir{Fid: 0, Name: "m", Mode: 0o755, GID: none}, &ninep.Tsymlink{Fid: 0, Name: "s", Target: "../canary"},
			&ninep.Tmknod{Fid: 0, Name: "p", Mode: unix.S_IFIFO | 0o600}, &ninep.Twalk{Fid: 0, NewFid: 3, Names: []string{"s"}},
			&ninep.Treadlink{Fid: 3}, &ninep.Tlink{Dir: 0, Fid: 3, Name: "s2"}, &ninep.Trename{Fid: 3, Dir: 0, Name: "s3"},
			&ninep.Trenameat{OldDir: 0, OldName: "m", NewDir: 0, NewName: "n"}, &ninep.Tunlinkat{Dir: 0, Name: "n", Flags: 0x200},
			&ninep.Twalk{Fid: 0, NewFid: 4, Names: []string{"out", "f"}}, &ninep.Twalk{Fid: 0, NewFid: 5, Names: []string{"d", "..", ".."}}),
		script(
			&ninep.Twalk{Fid: 0, NewFid: 1, Names: []string{"f"}}, &ninep.Txattrcreate{Fid: 1, Name: "user.x", Size: 2},
			&ninep.Twrite{Fid: 1, Data: []byte("ab")}, &ninep.Tclunk{Fid: 1}, &ninep.Txattrwalk{Fid: 0, NewFid: 2},
			&ninep.Tread{Fid: 2, Count: 100}, &ninep.Tstatfs{Fid: 0}, &ninep.Tauth{Afid: 1},
			&ninep.Tattach{Fid: 7, Afid: ninep.NoFID, UID: 1000, Aname: "d"}, &ninep.Tversion{Msize: 8192, Version: "9P2000.L"}),
	}
}

func fuzzClassicSeeds(d ninep.Dialect) [][]byte {
	renamed, touched := ninep.UntouchedStat(), ninep.UntouchedStat()
	renamed.Name = "../canary"
	touched.Mode, touched.Mtime, touched.Length, touched.GID, touched.Name = 0o600, 5, 3, "0", "g"
	return [][]byte{
		scriptIn(d,
			&ninep.Twalk{Fid: 0, NewFid: 1, Names: []string{"f"}}, &ninep.Tstat{Fid: 1}, &ninep.Topen{Fid: 1, Mode: 2},
			&ninep.Tread{Fid: 1, Count: 100}, &ninep.Twstat{Fid: 1, Stat: renamed}, &ninep.Twstat{Fid: 1, Stat: touched},
			&ninep.Twstat{Fid: 1, Stat: ninep.UntouchedStat()}, &ninep.Tflush{OldTag: 3}, &ninep.Tremove{Fid: 1}),
		scriptIn(d,
			&ninep.Twalk{Fid: 0, NewFid: 1}, &ninep.Tcreate{Fid: 1, Name: "new", Perm: 0o644, Mode: 2},
			&ninep.Twalk{Fid: 0, NewFid: 2}, &ninep.Tcreate{Fid: 2, Name: "s", Perm: ninep.DMSymlink, Extension: "../canary"},
			&ninep.Twalk{Fid: 0, NewFid: 3}, &ninep.Tcreate{Fid: 3, Name: "l", Perm: ninep.DMLink, Extension: "1"},
			&ninep.Twalk{Fid: 0, NewFid: 4}, &ninep.Tcreate{Fid: 4, Name: "n", Perm: ninep.DMDevice, Extension: "c 1 3"},
			&ninep.Topen{Fid: 2}, &ninep.Topen{Fid: 0}, &ninep.Tread{Fid: 0, Count: 500}, &ninep.Tread{Fid: 0, Offset: 1, Count: 500}),
		scriptIn(d,
			&ninep.Twalk{Fid: 0, NewFid: 1, Names: []string{"out"}}, &ninep.Topen{Fid: 1, Mode: ninep.ClassicRClose},
			&ninep.Tattach{Fid: 7, Afid: ninep.NoFID, Uname: "daemon", UID: ninep.NoUID, Aname: "d"},
			&ninep.Tauth{Afid: 1, UID: ninep.NoUID}, &ninep.Tclunk{Fid: 1}, &ninep.Tversion{Msize: 8192, Version: d.String()}),
	}
}

// FuzzConnection feeds a connection with what a hostile client might send. The server must come to an end with it, and
// touch nothing outside of its root.
func FuzzConnection(f *testing.F) {
	for _, seed := range fuzzSeeds() {
		f.Add(seed, true, uint8(ninep.DialectL))
		f.Add(frames(seed), false, uint8(ninep.DialectL))
	}
	for _, d := range []ninep.Dialect{ninep.DialectU, ninep.DialectLegacy} {
		for _, seed := range fuzzClassicSeeds(d) {
			f.Add(seed, true, uint8(d))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, framed bool, dialect uint8) {
		e, canary := newFenced(t, server.Options{MaxMsize: 64 << 10, MaxFids: 64})
		e.mkdir("d", 0o777)
		e.write("f", "content", 0o666)
		e.write("d/f", "content", 0o666)
		if err := os.Symlink(canary, e.path("out")); err != nil {
			t.Fatal(err)
		}
		if framed {
			input = frames(input)
		}
		l := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- e.server.Serve(ctx, l) }()
		theirs, ours := net.Pipe()
		l.conns <- theirs
		ended := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, ours); close(ended) }()
		d := ninep.Dialect(dialect % 3)
		hello, _ := d.Append(nil, ninep.NoTag, &ninep.Tversion{Msize: 64 << 10, Version: d.String()})
		hello, _ = d.Append(hello, 0xfffe, &ninep.Tattach{Fid: 0, Afid: ninep.NoFID, Uname: "0"})
		// The server may end the connection at any byte.
		_, _ = ours.Write(append(hello, input...))
		ours.Close()
		<-ended
		cancel()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the connection does not end")
		}
	})
}

// TestNoSocket: a connection that is none of the kernel's, as one of TLS, has requests answered by several workers at once.
func TestNoSocket(t *testing.T) {
	e := newExport(t, server.Options{})
	l := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(context.Background(), l) }()
	theirs, ours := net.Pipe()
	l.conns <- theirs
	c := &client{t: t, nc: ours, fid: 1}
	c.version(8192)
	c.attach(0, uint32(os.Getuid()), "")
	const requests = 60000
	go func() {
		for i := range uint16(requests) {
			b, _ := ninep.Append(nil, i, &ninep.Tflush{OldTag: 1})
			if _, err := ours.Write(b); err != nil {
				return
			}
		}
	}()
	for range requests {
		c.receive()
	}
	ours.Close()
	e.server.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
