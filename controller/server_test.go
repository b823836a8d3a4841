package controller_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// listen serves connections on a unix socket by a function until the test ends.
func listen(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	path := filepath.Join(lab.Dir(t), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return "unix://" + path
}

// A server that is not there, or is none, is told by its name, as something to
// try again, and soon.
func TestServerAbsent(t *testing.T) {
	leakCheck(t)
	c := newController(t, "")
	web := listen(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		_, _ = io.Copy(io.Discard, conn)
	})
	for _, url := range []string{"unix:///nowhere/9p", "tcp://127.0.0.1:1", "tcp://no.such.host.invalid", web} {
		_, err := c.CreateVolume(t.Context(), request("pvc-1", "server", url))
		fails(t, err, codes.Unavailable, url)
		_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: volume.ID{URL: url, UUID: volume.UUID("pvc-1")}.String()})
		fails(t, err, codes.Unavailable, url)
	}
}

// A server that takes connections and says nothing holds nobody longer than
// the caller wants.
func TestServerMute(t *testing.T) {
	leakCheck(t)
	c := newController(t, "")
	url := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := c.CreateVolume(ctx, request("pvc-1", "server", url))
	fails(t, err, codes.DeadlineExceeded, url)
	impatient := newControllerWith(t, controller.Options{OpenTimeout: 50 * time.Millisecond})
	_, err = impatient.CreateVolume(t.Context(), request("pvc-1", "server", url))
	fails(t, err, codes.Unavailable, url, "no answer within 50ms")
}

func TestServerOfAnotherDialect(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	url := export(t, server.Options{Root: root, Dialects: []ninep.Dialect{ninep.DialectU}})
	_, err := newController(t, "").CreateVolume(t.Context(), request("pvc-1", "server", url, "dialect", "9P2000.u"))
	fails(t, err, codes.FailedPrecondition, `9P2000.L`)
	if entries, _ := os.ReadDir(root); len(entries) != 0 {
		t.Errorf("it left %v behind", entries)
	}
}

func TestServerWithoutTree(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		u, err := dial.Parse(r.url)
		if err != nil {
			t.Fatal(err)
		}
		u.Aname = ""
		_, err = r.CreateVolume(t.Context(), request("pvc-1", "server", u.String(), "aname", "/no/such/tree"))
		if err == nil {
			t.Fatal("a tree that does not exist is attached")
		}
		if r.url == u.String() { // our own server
			fails(t, err, codes.NotFound, u.String(), "/no/such/tree", "aname")
		}
	})
}

// A server that went away and came back is used again by the next call.
func TestServerComesBack(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	path := filepath.Join(lab.Dir(t), "9p")
	c := newController(t, "")
	create := func(name string) error {
		_, err := c.CreateVolume(t.Context(), request(name, "server", "unix://"+path))
		return err
	}
	for _, name := range []string{"pvc-1", "pvc-2"} {
		stop := serveAt(t, root, path)
		if err := create(name); err != nil {
			t.Fatalf("with a server: %v", err)
		}
		stop()
		fails(t, create("pvc-3"), codes.Unavailable, path)
	}
}

// serveAt exports a directory on a unix socket until stop is called.
func serveAt(t *testing.T, root, path string) (stop func()) {
	t.Helper()
	s, err := server.New(server.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), listener) }()
	return func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("server: %v", err)
		}
	}
}

// Volumes of one server share a session.
func TestOneSessionPerServer(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	mkdir(t, filepath.Join(root, "a"))
	mkdir(t, filepath.Join(root, "b"))
	url := export(t, server.Options{Root: root})
	var opened atomic.Int64
	c := newControllerWith(t, controller.Options{Open: func(ctx context.Context, u dial.URL, _ mtls.Source) (*ninep.Session, error) {
		opened.Add(1)
		return controller.OpenSession(ctx, u, nil)
	}})
	for _, aname := range []string{"/a", "/b", "/"} {
		if _, err := c.CreateVolume(t.Context(), request("pvc-1", "server", url, "aname", aname)); err != nil {
			t.Fatal(err)
		}
	}
	if opened.Load() != 1 {
		t.Errorf("%d sessions were opened", opened.Load())
	}
	if !exists(filepath.Join(root, "a", "pvc-1")) || !exists(filepath.Join(root, "b", "pvc-1")) || !exists(filepath.Join(root, "pvc-1")) {
		t.Error("the volumes are not in their trees")
	}
}

// watched is a connection that tells when it was closed.
type watched struct {
	transport.Conn
	closed chan struct{}
	once   *sync.Once
}

func (w watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// A server is not kept busy by a controller that has nothing to do.
func TestIdleSessionIsClosed(t *testing.T) {
	leakCheck(t)
	url := export(t, server.Options{Root: lab.Dir(t)})
	closed := make(chan struct{})
	c := newControllerWith(t, controller.Options{IdleTime: time.Millisecond, Open: func(ctx context.Context, u dial.URL, _ mtls.Source) (*ninep.Session, error) {
		return ninep.Open(ctx, ninep.Config{ReconnectTimeout: -1, Dial: func(ctx context.Context) (transport.Conn, error) {
			conn, err := dial.Dial(ctx, u, dial.Options{})
			return watched{conn, closed, new(sync.Once)}, err
		}})
	}})
	if _, err := c.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: map[string]string{"server": url}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("the session stays open")
	}
}

// The nodes' road and the controller's may differ.
func TestControllerServer(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	url := export(t, server.Options{Root: root})
	r := &rig{Controller: newController(t, ""), t: t, root: root, url: url}
	response, err := r.CreateVolume(t.Context(), request("pvc-1", "server", "unix:///on/the/node", "controllerServer", url))
	if err != nil {
		t.Fatal(err)
	}
	v := response.GetVolume()
	if got := v.GetVolumeContext(); got["server"] != "unix:///on/the/node" || got["controllerServer"] != "" {
		t.Errorf("a node gets %v", got)
	}
	if !strings.HasPrefix(v.GetVolumeId(), url+"#") {
		t.Errorf("the id %s does not lead the controller to the volume", v.GetVolumeId())
	}
	if got := list(t, r.Controller, 0); !slices.Equal(got, []string{v.GetVolumeId()}) {
		t.Errorf("listed are %q", got)
	}
	r.remove(v.GetVolumeId())
	r.spotless()
}

// interrupted is a connection whose first rename waits for something else to
// happen.
type interrupted struct {
	transport.Conn
	first *sync.Once
	by    func()
}

const trenameat = 74

func (i interrupted) Submit(c *transport.Call) {
	if c.Head[4] == trenameat {
		i.first.Do(i.by)
	}
	i.Conn.Submit(c)
}

// The resizer and the provisioner may talk to different controllers: a volume
// that one deletes while the other expands it stays deleted.
func TestExpandVolumeWhileDeleted(t *testing.T) {
	r := newRig(t)
	v := r.create("pvc-1")
	var first sync.Once
	other := newControllerWith(t, controller.Options{Open: func(ctx context.Context, u dial.URL, _ mtls.Source) (*ninep.Session, error) {
		return ninep.Open(ctx, ninep.Config{ReconnectTimeout: -1, Dial: func(ctx context.Context) (transport.Conn, error) {
			conn, err := dial.Dial(ctx, u, dial.Options{})
			return interrupted{conn, &first, func() { r.remove(v.GetVolumeId()) }}, err
		}})
	}})
	_, err := other.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: v.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: 2 << 30}})
	fails(t, err, codes.Aborted, "deleted")
	r.spotless()
}

// linkless is a connection to a server without hard links.
type linkless struct{ transport.Conn }

const (
	tlink   = 70
	rlerror = 7
)

func (l linkless) Submit(c *transport.Call) {
	if c.Head[4] != tlink {
		l.Conn.Submit(c)
		return
	}
	reply := binary.LittleEndian.AppendUint32(c.Reply[:0], 11)
	reply = append(reply, rlerror)
	reply = binary.LittleEndian.AppendUint16(reply, c.Tag)
	c.Reply = binary.LittleEndian.AppendUint32(reply, uint32(unix.EOPNOTSUPP))
	go c.Done.Complete(c)
}

// Some servers have no hard links, by which records and claims are made.
func TestServerWithoutLinks(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	url := export(t, server.Options{Root: root})
	c := newControllerWith(t, controller.Options{Open: func(ctx context.Context, u dial.URL, _ mtls.Source) (*ninep.Session, error) {
		return ninep.Open(ctx, ninep.Config{ReconnectTimeout: -1, Dial: func(ctx context.Context) (transport.Conn, error) {
			conn, err := dial.Dial(ctx, u, dial.Options{})
			return linkless{conn}, err
		}})
	}})
	r := &rig{Controller: c, t: t, root: root, url: url}
	v := r.create("pvc-1", "subDir", "x")
	if again := r.create("pvc-1", "subDir", "x"); again.GetVolumeId() != v.GetVolumeId() {
		t.Errorf("got %v, then %v", v, again)
	}
	_, err := r.CreateVolume(t.Context(), r.request("pvc-1", "subDir", "x", "mode", "0700"))
	fails(t, err, codes.AlreadyExists, "parameters")
	_, err = r.CreateVolume(t.Context(), r.request("pvc-2", "subDir", "x"))
	fails(t, err, codes.AlreadyExists, "another volume")
	r.remove(v.GetVolumeId())
	r.spotless()

	// What a kill leaves between the two steps that take the place of one.
	write(t, r.path(".csi-9p", "volumes", volume.UUID("pvc-3").String()+".json"), "")
	write(t, r.path(".csi-9p", "dirs", fmt.Sprintf("%x", sha256.Sum256([]byte("pvc-3")))), "")
	v = r.create("pvc-3")
	r.remove(v.GetVolumeId())
	r.spotless()
}
