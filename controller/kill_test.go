package controller_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"google.golang.org/grpc/codes"
)

// mortal is a connection that dies at its last call, as that of a killed
// process does: either before the server gets the call, or after the server
// has done what it says.
type mortal struct {
	transport.Conn
	left *atomic.Int64 // calls to live for
	done bool          // the last call is done
}

func (m *mortal) Submit(c *transport.Call) {
	if m.left.Add(-1) == 0 {
		if !m.done {
			_ = m.Close()
		} else {
			c.Done = &lastReply{m, c.Done}
		}
	}
	m.Conn.Submit(c)
}

// lastReply loses a reply.
type lastReply struct {
	conn *mortal
	next transport.Completer
}

func (l *lastReply) Complete(c *transport.Call) {
	_ = l.conn.Close()
	c.Done, c.Err = l.next, transport.ErrClosed
	c.Done.Complete(c)
}

// doomed is a controller that lives for so many calls to its server. reached
// tells whether it came to the last of them.
func doomed(t *testing.T, calls int, done bool) (c *controller.Controller, reached func() bool) {
	t.Helper()
	left := new(atomic.Int64)
	left.Store(int64(calls))
	c = newControllerWith(t, controller.Options{Open: func(ctx context.Context, server dial.URL, _ mtls.Source) (*ninep.Session, error) {
		return ninep.Open(ctx, ninep.Config{ReconnectTimeout: -1, Dial: func(ctx context.Context) (transport.Conn, error) {
			if left.Load() <= 0 {
				return nil, errors.New("this controller was killed")
			}
			conn, err := dial.Dial(ctx, server, dial.Options{})
			return &mortal{Conn: conn, left: left, done: done}, err
		}})
	}})
	return c, func() bool { return left.Load() <= 0 }
}

// killEverywhere runs a call by controllers that are killed at their first,
// second, third... call to the server, until one gets through, and what has to
// hold after each.
func killEverywhere(t *testing.T, prepare func(name string), call func(c *controller.Controller, name string) error, after func(name string)) {
	for _, done := range []bool{false, true} {
		for calls := 1; ; calls++ {
			if calls > 1000 {
				t.Fatal("a call takes more than 1000 calls to the server")
			}
			name := fmt.Sprintf("pvc-%t-%d", done, calls)
			prepare(name)
			c, reached := doomed(t, calls, done)
			err := call(c, name)
			if killed := reached(); !killed {
				if err != nil {
					t.Fatalf("without a kill: %v", err)
				}
				after(name)
				t.Logf("killed at each of %d calls (reply lost: %t)", calls-1, done)
				break
			}
			after(name)
			if t.Failed() {
				t.Fatalf("after a kill at call %d (reply lost: %t), which answered %v", calls, done, err)
			}
		}
	}
}

// parameters of the volumes that are killed: with a directory above and an
// owner, so that every step is taken.
var killed = []string{"subDir", "k/${pv.metadata.name}", "uid", "1000", "mode", "0750"}

// These run on our own server: diod 1.0.24 crashes now and then when a
// connection ends with requests in flight.
func TestCreateVolumeKilled(t *testing.T) {
	r := newRig(t)
	create := func(c *controller.Controller, name string) error {
		_, err := c.CreateVolume(t.Context(), r.request(name, killed...))
		return err
	}
	killEverywhere(t, func(string) {}, create, func(name string) {
		v := r.create(name, killed...)
		s := stat(t, r.path("k", name))
		if s.Mode != 0o040750 || s.Uid != 1000 {
			t.Errorf("mode %o, owner %d", s.Mode, s.Uid)
		}
		got := r.readRecord(name)
		if got.State != record.Ready || got.QID == nil || got.QID.Path != s.Ino || !slices.Equal(got.Directory, []string{"k", name}) {
			t.Errorf("the record is %+v of inode %x", got, s.Ino)
		}
		if left := r.names(".csi-9p", "new"); len(left) > 0 {
			t.Errorf("left aside: %q", left)
		}
		r.remove(v.GetVolumeId())
		r.untraced(name)
	})
}

// A volume whose making was cut short, and that nobody wants any more, goes
// without a trace as well.
func TestCreateVolumeKilledThenDeleted(t *testing.T) {
	r := newRig(t)
	create := func(c *controller.Controller, name string) error {
		_, err := c.CreateVolume(t.Context(), r.request(name, killed...))
		return err
	}
	killEverywhere(t, func(string) {}, create, func(name string) {
		r.remove(volume.ID{URL: r.url, UUID: volume.UUID(name)}.String())
		r.untraced(name)
	})
}

// A volume that cannot be made leaves no trace behind an answer that the caller
// takes for the last: where taking back was cut short, the caller is to try
// again.
func TestCreateVolumeKilledWhileTakenBack(t *testing.T) {
	r := newRig(t)
	var answer error
	create := func(c *controller.Controller, name string) error {
		if _, answer = c.CreateVolume(t.Context(), r.request(name, killed...)); driver.Code(answer) == codes.AlreadyExists {
			return nil
		}
		return answer
	}
	prepare := func(name string) { mkdir(t, r.path("k", name)) }
	killEverywhere(t, prepare, create, func(name string) {
		if driver.Code(answer) != codes.AlreadyExists {
			_, err := r.CreateVolume(t.Context(), r.request(name, killed...))
			fails(t, err, codes.AlreadyExists, name)
		}
		if err := os.Remove(r.path("k", name)); err != nil {
			t.Fatal(err)
		}
		r.untraced(name)
	})
}

func TestDeleteVolumeKilled(t *testing.T) {
	for _, onDelete := range []string{"delete", "archive", "retain"} {
		t.Run(onDelete, func(t *testing.T) { deleteKilled(t, newRig(t), onDelete) })
	}
}

func deleteKilled(t *testing.T, r *rig, onDelete string) {
	id := func(name string) string { return volume.ID{URL: r.url, UUID: volume.UUID(name)}.String() }
	prepare := func(name string) {
		r.create(name, append(killed, "onDelete", onDelete)...)
		mkdir(t, r.path("k", name, "a", "b"))
		write(t, r.path("k", name, "a", "b", "data"), "data")
	}
	remove := func(c *controller.Controller, name string) error {
		_, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id(name)})
		return err
	}
	killEverywhere(t, prepare, remove, func(name string) {
		r.remove(id(name))
		var want []string
		switch onDelete {
		case "archive":
			want = []string{"archived-" + name}
		case "retain":
			want = []string{name}
		}
		if got := r.names("k"); !slices.Equal(got, want) {
			t.Errorf("there is %q, want %q", got, want)
		}
		for _, left := range want {
			if !exists(r.path("k", left, "a", "b", "data")) {
				t.Error("its data is gone")
			}
		}
		if err := os.RemoveAll(r.path("k")); err != nil {
			t.Fatal(err)
		}
		r.untraced(name)
	})
}

// untraced checks that nothing of a volume is left: tmp excepted, where files
// of killed processes wait for a sweep.
func (r *rig) untraced(name string) {
	r.t.Helper()
	for _, dir := range []string{"volumes", "dirs", "new", "trash"} {
		if left := r.names(".csi-9p", dir); len(left) > 0 {
			r.t.Errorf("%s: .csi-9p/%s has %q", name, dir, left)
		}
	}
	if left := r.names("k"); len(left) > 0 {
		r.t.Errorf("%s: k has %q", name, left)
	}
}
