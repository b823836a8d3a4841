package server

import (
	"context"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// talk starts a server of a new directory and returns what sends it a message and reads the reply.
func talk(t *testing.T) (*Server, string, func(ninep.Message) ninep.Message) {
	t.Helper()
	root := t.TempDir()
	s, err := New(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() { s.serveConn(context.Background(), theirs, new(handshakes)); close(served) }()
	t.Cleanup(func() { ours.Close(); <-served; s.Close() })
	return s, root, func(m ninep.Message) ninep.Message {
		t.Helper()
		b, err := ninep.Append(nil, 1, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Write(b); err != nil {
			t.Fatal(err)
		}
		frame := make([]byte, ninep.HeaderSize, 4096)
		if _, err := io.ReadFull(ours, frame); err != nil {
			t.Fatal(err)
		}
		h, err := ninep.ParseHeader(frame)
		if err != nil {
			t.Fatal(err)
		}
		frame = frame[:h.Size]
		if _, err := io.ReadFull(ours, frame[ninep.HeaderSize:]); err != nil {
			t.Fatal(err)
		}
		_, reply, err := ninep.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
}

func isError(m ninep.Message, errno unix.Errno) bool {
	e, ok := m.(*ninep.Rlerror)
	return ok && unix.Errno(e.Errno) == errno
}

// A bug in one request is answered EIO, and neither the connection nor what the request had in hand is lost.
func TestPanicIsAnswered(t *testing.T) {
	s, root, call := talk(t)
	if err := os.WriteFile(filepath.Join(root, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	call(&ninep.Tversion{Msize: 8192, Version: ninep.Version})
	call(&ninep.Tattach{Fid: 0, Afid: ninep.NoFID})
	call(&ninep.Twalk{Fid: 0, NewFid: 1, Names: []string{"f"}})
	call(&ninep.Tlopen{Fid: 1})
	open := s.locks.host
	s.locks.host = func(*file) (*hostLocks, error) { panic("a bug") }
	if m := call(&ninep.Tlock{Fid: 1}); !isError(m, unix.EIO) {
		t.Errorf("answered %+v", m)
	}
	s.locks.host = open
	if m, ok := call(&ninep.Tlock{Fid: 1}).(*ninep.Rlock); !ok || m.Status != ninep.LockSuccess {
		t.Errorf("the same again is answered %+v", m)
	}
	if m, ok := call(&ninep.Tclunk{Fid: 1}).(*ninep.Rclunk); !ok {
		t.Errorf("Tclunk: %+v", m)
	}
}

// A thread that cannot become root again is given up with its worker; the request is answered, and others serve the rest.
func TestThreadThatCannotComeBack(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root acts as others")
	}
	s, root, call := talk(t)
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	call(&ninep.Tversion{Msize: 8192, Version: ninep.Version})
	call(&ninep.Tattach{Fid: 0, Afid: ninep.NoFID, UID: 4242})
	gid := s.creds.own.gid
	for range 2 * maxRequests {
		s.creds.own.gid = math.MaxUint32
		if m := call(&ninep.Twalk{Fid: 0, NewFid: 1, Names: []string{".."}}); !isError(m, unix.EIO) {
			t.Fatalf("answered %+v", m)
		}
		s.creds.own.gid = gid
		if m, ok := call(&ninep.Tgetattr{Fid: 0}).(*ninep.Rgetattr); !ok {
			t.Fatalf("the next request is answered %+v", m)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "root's"), nil, 0o600); err != nil {
		t.Error(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "root's"), &st); err != nil || st.Uid != 0 {
		t.Errorf("a thread of this process was left as user %d (%v)", st.Uid, err)
	}
}
