package ninep_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// script answers a request: with a message, with raw bytes, or with nil for no answer at all.
type script func(tag uint16, m ninep.Message) any

// scripted is the Dial of a server that says what the script says, and of itself only what a client needs to get
// there: Rversion, Rattach of a directory, Rwalk of files, Rlopen, Rclunk, Rflush.
func scripted(t testing.TB, s script) func(context.Context) (transport.Conn, error) {
	return func(context.Context) (transport.Conn, error) {
		near, far := net.Pipe()
		go serveScript(t, far, s)
		return stream.New(near, stream.Options{Name: "script"}), nil
	}
}

// readMessage reads one message, whole.
func readMessage(r io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	b := make([]byte, binary.LittleEndian.Uint32(head))
	copy(b, head)
	_, err := io.ReadFull(r, b[4:])
	return b, err
}

func serveScript(t testing.TB, c net.Conn, s script) {
	defer c.Close()
	for {
		b, err := readMessage(c)
		if err != nil {
			return
		}
		tag, m, err := ninep.Decode(b)
		if err != nil {
			t.Errorf("the client sent %x: %v", b, err)
			return
		}
		answer := s(tag, m)
		if answer == pass {
			answer = plain(m)
		}
		switch a := answer.(type) {
		case []byte:
			_, err = c.Write(a)
		case last:
			_, _ = c.Write(a)
			return
		case ninep.Message:
			_, err = c.Write(frame(t, tag, a))
		}
		if err != nil {
			return
		}
	}
}

// last is an answer after which the server hangs up.
type last []byte

// pass leaves a request to the scripted server's own answers.
var pass = new(int)

var rootQID = ninep.QID{Type: ninep.QTDir, Path: 1}

func plain(m ninep.Message) ninep.Message {
	switch m := m.(type) {
	case *ninep.Tversion:
		return &ninep.Rversion{Msize: min(m.Msize, 64<<10), Version: m.Version}
	case *ninep.Tattach:
		return &ninep.Rattach{QID: rootQID}
	case *ninep.Twalk:
		r := &ninep.Rwalk{}
		for i := range m.Names {
			r.QIDs = append(r.QIDs, ninep.QID{Path: uint64(i + 2)})
		}
		return r
	case *ninep.Tlopen:
		return &ninep.Rlopen{}
	case *ninep.Tclunk:
		return &ninep.Rclunk{}
	case *ninep.Tflush:
		return &ninep.Rflush{}
	}
	return &ninep.Rlerror{Errno: uint32(unix.EOPNOTSUPP)}
}

// openScripted opens a session with a scripted server, which is lost for good when the connection is, and attaches.
func openScripted(t testing.TB, s script) (*ninep.Session, *ninep.Fid) {
	t.Helper()
	return openScriptedAs(t, s, ninep.AttachOptions{Aname: "/", UID: ninep.NoUID})
}

func openScriptedAs(t testing.TB, s script, o ninep.AttachOptions) (*ninep.Session, *ninep.Fid) {
	t.Helper()
	session, err := ninep.Open(context.Background(), ninep.Config{Dial: scripted(t, s), ReconnectTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	root, err := session.Attach(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return session, root
}
