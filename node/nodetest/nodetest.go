// Package nodetest holds what the tests of the node's packages share: an
// exporter and a mounter in this process, and the count of what must not leak.
// Everything made here ends with the test that asked for it.
package nodetest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
)

// Dir makes a directory and, when the test ends, takes the mounts in it off.
func Dir(tb testing.TB) string {
	tb.Helper()
	dir, err := filepath.EvalSymlinks(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for _, path := range Mounts(tb, dir) {
			if err := (mountpoint.Mounter{}).Unmount(path); err != nil {
				tb.Error(err)
			}
		}
	})
	return dir
}

// Mounts returns the mount points at and below dir, the innermost first.
func Mounts(tb testing.TB, dir string) []string {
	tb.Helper()
	table, err := mountpoint.Table()
	if err != nil {
		tb.Fatal(err)
	}
	var found []string
	for i := len(table) - 1; i >= 0; i-- {
		if path := table[i].MountPoint; path == dir || strings.HasPrefix(path, dir+"/") {
			found = append(found, path)
		}
	}
	return found
}

// Descriptors counts the open files of this process.
func Descriptors(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries) - 1 // the directory itself
}

// NoLeaks fails the test if, at its end, more files are open than now.
func NoLeaks(tb testing.TB) {
	tb.Helper()
	before := Descriptors(tb)
	tb.Cleanup(func() {
		Eventually(tb, "descriptors are closed", func() bool { return Descriptors(tb) <= before })
	})
}

// Eventually waits until a condition holds, and fails the test if it never does.
func Eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			tb.Errorf("not within 15 s: %s", what)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Exporter is a 9P server of a directory, on a unix socket or with TLS.
type Exporter struct {
	URL         string
	Root        string
	Connections atomic.Int64 // accepted so far
	// Dialects are those that it speaks from the next Start on; nil: all.
	Dialects []ninep.Dialect

	tb     testing.TB
	listen func() (net.Listener, error)
	server *server.Server
	done   chan struct{}
}

// Export starts an exporter of a new directory on a unix socket.
func Export(tb testing.TB) *Exporter {
	tb.Helper()
	socket := filepath.Join(Dir(tb), "9p.sock")
	e := export(tb, func() (net.Listener, error) { return net.Listen("unix", socket) })
	e.URL = "unix://" + socket
	return e
}

// ExportTLS starts an exporter of a new directory at a port of 127.0.0.1 that
// stays the same when it is started again.
func ExportTLS(tb testing.TB, from mtls.Source) *Exporter {
	tb.Helper()
	address := "127.0.0.1:0"
	e := export(tb, func() (net.Listener, error) {
		plain, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		address = plain.Addr().String()
		return mtls.NewListener(plain, from), nil
	})
	e.URL = "tls://" + address
	return e
}

func export(tb testing.TB, listen func() (net.Listener, error)) *Exporter {
	tb.Helper()
	e := &Exporter{tb: tb, Root: filepath.Join(Dir(tb), "root"), listen: listen}
	if err := os.Mkdir(e.Root, 0o755); err != nil {
		tb.Fatal(err)
	}
	e.Start()
	tb.Cleanup(e.Kill)
	return e
}

// Start starts the server again after Kill.
func (e *Exporter) Start() {
	e.tb.Helper()
	var err error
	if e.server, err = server.New(server.Options{Root: e.Root, Dialects: e.Dialects}); err != nil {
		e.tb.Fatal(err)
	}
	listener, err := e.listen()
	if err != nil {
		e.tb.Fatal(err)
	}
	e.done = make(chan struct{})
	go func(s *server.Server, done chan struct{}) {
		defer close(done)
		if err := s.Serve(context.Background(), counted{listener, &e.Connections}); err != nil {
			e.tb.Errorf("exporter: %v", err)
		}
	}(e.server, e.done)
}

// Server is the server that runs.
func (e *Exporter) Server() *server.Server { return e.server }

// Kill ends the server and its connections at once.
func (e *Exporter) Kill() {
	if e.server != nil {
		e.server.Close()
		<-e.done
		e.server = nil
	}
}

// Attach binds a fid to the exporter's root, on a session of its own.
func Attach(tb testing.TB, e *Exporter) *ninep.Fid {
	tb.Helper()
	url, err := dial.Parse(e.URL)
	if err != nil {
		tb.Fatal(err)
	}
	session, err := ninep.Open(context.Background(), ninep.Config{
		Dial: func(ctx context.Context) (transport.Conn, error) { return dial.Dial(ctx, url, dial.Options{}) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = session.Close() })
	root, err := session.Attach(context.Background(), ninep.AttachOptions{Aname: "/"})
	if err != nil {
		tb.Fatal(err)
	}
	return root
}

type counted struct {
	net.Listener
	n *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return conn, err
}

// Mounter is a mounter that listens on a control socket.
type Mounter struct {
	*mounter.Client
	tb      testing.TB
	stop    context.CancelFunc
	done    chan struct{}
	volumes *mounter.Volumes
}

// NewMounter starts a mounter.
func NewMounter(tb testing.TB) *Mounter {
	tb.Helper()
	m := &Mounter{Client: &mounter.Client{Path: filepath.Join(Dir(tb), "mounter.sock")}, tb: tb}
	m.Start()
	tb.Cleanup(m.Kill)
	return m
}

// Start starts another mounter on the socket after Kill.
func (m *Mounter) Start() {
	m.tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	listener, err := mounter.Listen(ctx, "unix://"+m.Path)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.stop, m.done, m.volumes = stop, make(chan struct{}), new(mounter.Volumes)
	go func() {
		defer close(m.done)
		if err := mounter.Serve(ctx, listener, m.volumes); err != nil {
			m.tb.Errorf("mounter: %v", err)
		}
	}()
}

// Volumes are the volumes of the mounter that runs.
func (m *Mounter) Volumes() *mounter.Volumes { return m.volumes }

// Kill ends the mounter, as the end of its process does: its connections die.
func (m *Mounter) Kill() {
	if m.stop == nil {
		return
	}
	m.stop()
	<-m.done
	m.stop = nil
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = m.volumes.Close(ctx) // whether its requests were answered is not what a killed process cares for
}
