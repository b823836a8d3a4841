package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// export is a server of a new directory, listening on a unix socket.
type export struct {
	t      testing.TB
	root   string
	socket string
	server *server.Server
}

// newExport starts a server; o.Root is made unless it is given. At the end it must leave no descriptor open.
func newExport(t testing.TB, o server.Options) *export {
	t.Helper()
	before := descriptors(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if o.Root == "" {
		o.Root = filepath.Join(dir, "root")
		if err := os.Mkdir(o.Root, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	e := &export{t: t, root: o.Root, socket: filepath.Join(dir, "socket"), server: s}
	l, err := net.Listen("unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		s.Close()
		// A test may be over before Serve has begun.
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
		if after := descriptors(t); len(after) > len(before) {
			t.Errorf("descriptors open after the server ended: %q; before it started: %q", after, before)
		}
	})
	return e
}

// descriptors tells what the process has open, but the runtime's poller, which may be made at any time.
func descriptors(t testing.TB) []string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") {
			open = append(open, target)
		}
	}
	return open
}

// path is the host's path of a name in the export.
func (e *export) path(name string) string { return filepath.Join(e.root, name) }

// write makes a file on the host's side.
func (e *export) write(name, content string, mode os.FileMode) {
	e.t.Helper()
	if err := os.WriteFile(e.path(name), []byte(content), mode); err != nil {
		e.t.Fatal(err)
	}
}

func (e *export) mkdir(name string, mode os.FileMode) {
	e.t.Helper()
	if err := os.MkdirAll(e.path(name), mode); err != nil {
		e.t.Fatal(err)
	}
}

func (e *export) read(name string) string {
	e.t.Helper()
	b, err := os.ReadFile(e.path(name))
	if err != nil {
		e.t.Fatal(err)
	}
	return string(b)
}

// client talks to a server by raw messages, one after the other unless sent apart.
type client struct {
	t       testing.TB
	nc      net.Conn
	dialect ninep.Dialect // spoken from version on
	tag     uint16
	fid     ninep.FID
}

// dial connects without a word.
func (e *export) dial() *client {
	e.t.Helper()
	nc, err := net.Dial("unix", e.socket)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		e.t.Fatal(err)
	}
	return &client{t: e.t, nc: nc, fid: 1}
}

// client connects, agrees on a version and attaches the root as fid 0 for a user.
func (e *export) client(uid uint32) *client {
	e.t.Helper()
	c := e.dial()
	c.version(1 << 20)
	c.attach(0, uid, "")
	return c
}

// speaker is client in another dialect, for the user of a name or number.
func (e *export) speaker(d ninep.Dialect, uname string) *client {
	e.t.Helper()
	c := e.dial()
	c.dialect = d
	c.version(1 << 20)
	ask[*ninep.Rattach](c, &ninep.Tattach{Fid: 0, Afid: ninep.NoFID, Uname: uname, UID: ninep.NoUID})
	return c
}

// clientOverTCP is client by another road to the same server.
func (e *export) clientOverTCP(uid uint32) *client {
	e.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(context.Background(), l) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		nc.Close()
		e.server.Close()
		if err := <-served; err != nil {
			e.t.Errorf("Serve: %v", err)
		}
	})
	c := &client{t: e.t, nc: nc, fid: 1}
	c.version(1 << 20)
	c.attach(0, uid, "")
	return c
}

func (c *client) version(msize uint32) *ninep.Rversion {
	c.t.Helper()
	c.send(ninep.NoTag, &ninep.Tversion{Msize: msize, Version: c.dialect.String()})
	_, m := c.receive()
	v, ok := m.(*ninep.Rversion)
	if !ok {
		c.t.Fatalf("Tversion: %#v", m)
	}
	return v
}

func (c *client) attach(fid ninep.FID, uid uint32, aname string) ninep.QID {
	c.t.Helper()
	return ask[*ninep.Rattach](c, &ninep.Tattach{Fid: fid, Afid: ninep.NoFID, UID: uid, Aname: aname}).QID
}

// newFid returns a number that was not used yet.
func (c *client) newFid() ninep.FID {
	c.fid++
	return c.fid
}

func (c *client) send(tag uint16, m ninep.Message) {
	c.t.Helper()
	b, err := c.dialect.Append(nil, tag, m)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.nc.Write(append(b, ninep.Payload(m)...)); err != nil {
		c.t.Fatalf("%v: %v", m.Type(), err)
	}
}

func (c *client) receive() (uint16, ninep.Message) {
	c.t.Helper()
	tag, m, err := c.tryReceive()
	if err != nil {
		c.t.Fatal(err)
	}
	return tag, m
}

func (c *client) tryReceive() (uint16, ninep.Message, error) {
	head := make([]byte, ninep.HeaderSize)
	if _, err := io.ReadFull(c.nc, head); err != nil {
		return 0, nil, err
	}
	frame := make([]byte, binary.LittleEndian.Uint32(head))
	copy(frame, head)
	if _, err := io.ReadFull(c.nc, frame[len(head):]); err != nil {
		return 0, nil, err
	}
	return c.dialect.Decode(frame)
}

// call sends a request and waits for its reply.
func (c *client) call(m ninep.Message) ninep.Message {
	c.t.Helper()
	c.tag++
	c.send(c.tag, m)
	tag, reply := c.receive()
	if tag != c.tag {
		c.t.Fatalf("%v with tag %d answered with tag %d", m.Type(), c.tag, tag)
	}
	return reply
}

// ask calls and insists on a reply of type R.
func ask[R ninep.Message](c *client, m ninep.Message) R {
	c.t.Helper()
	reply := c.call(m)
	r, ok := reply.(R)
	if !ok {
		if errno := c.errno(reply); errno != 0 {
			c.t.Fatalf("%+v: %v", m, errno)
		}
		c.t.Fatalf("%+v: %+v", m, reply)
	}
	return r
}

// errno is the number of an error reply in the client's dialect, 0 for any other.
func (c *client) errno(reply ninep.Message) unix.Errno {
	switch e := reply.(type) {
	case *ninep.Rlerror:
		return unix.Errno(e.Errno)
	case *ninep.Rerror:
		if c.dialect == ninep.DialectLegacy {
			return ninep.TextErrno(e.Ename)
		}
		return unix.Errno(e.Errno)
	}
	return 0
}

// fails calls and insists on an error, one of those given.
func (c *client) fails(m ninep.Message, want ...unix.Errno) {
	c.t.Helper()
	reply := c.call(m)
	if errno := c.errno(reply); !slices.Contains(want, errno) {
		c.t.Fatalf("%+v: %+v (%v), want an error of %v", m, reply, errno, want)
	}
}

// walk binds a new fid to what the names lead to from fid 0.
func (c *client) walk(names ...string) ninep.FID {
	c.t.Helper()
	return c.walkFrom(0, names...)
}

func (c *client) walkFrom(fid ninep.FID, names ...string) ninep.FID {
	c.t.Helper()
	newfid := c.newFid()
	if r := ask[*ninep.Rwalk](c, &ninep.Twalk{Fid: fid, NewFid: newfid, Names: names}); len(r.QIDs) != len(names) {
		c.t.Fatalf("walk %q: came to %d of %d names", names, len(r.QIDs), len(names))
	}
	return newfid
}

// open walks to a file and opens it.
func (c *client) open(flags uint32, names ...string) ninep.FID {
	c.t.Helper()
	fid := c.walk(names...)
	ask[*ninep.Rlopen](c, &ninep.Tlopen{Fid: fid, Flags: flags})
	return fid
}

// create makes a file in the root and opens it for reading and writing.
func (c *client) create(name string, mode uint32) ninep.FID {
	c.t.Helper()
	fid := c.walk()
	ask[*ninep.Rlcreate](c, &ninep.Tlcreate{Fid: fid, Name: name, Flags: ninep.OpenReadWrite, Mode: mode, GID: ninep.NoUID})
	return fid
}

func (c *client) write(fid ninep.FID, offset uint64, data string) {
	c.t.Helper()
	if r := ask[*ninep.Rwrite](c, &ninep.Twrite{Fid: fid, Offset: offset, Data: []byte(data)}); int(r.Count) != len(data) {
		c.t.Fatalf("wrote %d of %d bytes", r.Count, len(data))
	}
}

func (c *client) read(fid ninep.FID, offset uint64, count uint32) string {
	c.t.Helper()
	return string(ask[*ninep.Rread](c, &ninep.Tread{Fid: fid, Offset: offset, Count: count}).Data)
}

func (c *client) getattr(fid ninep.FID) ninep.Attr {
	c.t.Helper()
	return ask[*ninep.Rgetattr](c, &ninep.Tgetattr{Fid: fid, Mask: ninep.AttrAll}).Attr
}

func (c *client) clunk(fid ninep.FID) {
	c.t.Helper()
	ask[*ninep.Rclunk](c, &ninep.Tclunk{Fid: fid})
}

// list reads a whole directory, count bytes at a time.
func (c *client) list(fid ninep.FID, count uint32) []ninep.Dirent {
	c.t.Helper()
	var all []ninep.Dirent
	for offset := uint64(0); ; {
		data := ask[*ninep.Rreaddir](c, &ninep.Treaddir{Fid: fid, Offset: offset, Count: count}).Data
		if len(data) == 0 {
			return all
		}
		if len(data) > int(count) {
			c.t.Fatalf("%d bytes of entries, %d asked", len(data), count)
		}
		for len(data) > 0 {
			d, rest, err := ninep.NextDirent(data)
			if err != nil {
				c.t.Fatal(err)
			}
			all, data, offset = append(all, d), rest, d.Offset
		}
	}
}

// ended reports that the server has closed the connection.
func (c *client) ended() {
	c.t.Helper()
	for {
		if _, _, err := c.tryReceive(); err != nil {
			if os.IsTimeout(err) {
				c.t.Fatal("the connection is still open")
			}
			return
		}
	}
}
