package controller_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// rig is a controller and a share to work on.
type rig struct {
	*controller.Controller
	t    *testing.T
	root string // the exported directory on this machine
	url  string // of the share
}

// newRig exports a new directory by our own server, to a controller without a
// configuration.
func newRig(t *testing.T) *rig {
	t.Helper()
	leakCheck(t)
	root := lab.Dir(t)
	return &rig{Controller: newController(t, ""), t: t, root: root, url: export(t, server.Options{Root: root})}
}

// newDiodRig exports a new directory by diod.
func newDiodRig(t *testing.T) *rig {
	t.Helper()
	leakCheck(t)
	root := lab.Dir(t)
	return &rig{Controller: newController(t, ""), t: t, root: root, url: lab.Diod(t, root).URL}
}

// onBoth runs a test on our own server and on diod.
func onBoth(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("exporter", func(t *testing.T) { test(t, newRig(t)) })
	t.Run("diod", func(t *testing.T) { test(t, newDiodRig(t)) })
}

func leakCheck(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

// newController makes a controller with a configuration of shares; empty: none.
func newController(t *testing.T, config string) *controller.Controller {
	t.Helper()
	path := ""
	if config != "" {
		path = filepath.Join(lab.Dir(t), "shares.yaml")
		write(t, path, config)
	}
	return configured(t, path)
}

// configured makes a controller with the configuration in a file.
func configured(t *testing.T, path string) *controller.Controller {
	t.Helper()
	config, err := shares.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return newControllerWith(t, controller.Options{Shares: config})
}

// newControllerWith makes a controller with options; Shares defaults to none.
func newControllerWith(t *testing.T, o controller.Options) *controller.Controller {
	t.Helper()
	if o.Shares == nil {
		o.Shares = new(shares.Shares)
	}
	c := controller.New(o)
	t.Cleanup(c.Close)
	return c
}

// export serves a directory on a unix socket until the test ends.
func export(t *testing.T, o server.Options) (url string) {
	t.Helper()
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(lab.Dir(t), "9p")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return "unix://" + socket
}

// mount is the capability that most volumes are asked for with.
var mount = []*csi.VolumeCapability{{
	AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
	AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
}}

// request asks for a volume on the rig's share, with more parameters.
func (r *rig) request(name string, pairs ...string) *csi.CreateVolumeRequest {
	return request(name, append([]string{"server", r.url}, pairs...)...)
}

func request(name string, pairs ...string) *csi.CreateVolumeRequest {
	values := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return &csi.CreateVolumeRequest{Name: name, Parameters: values, VolumeCapabilities: mount,
		CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 30}}
}

// create makes a volume that has to be made.
func (r *rig) create(name string, pairs ...string) *csi.Volume {
	r.t.Helper()
	response, err := r.CreateVolume(r.t.Context(), r.request(name, pairs...))
	if err != nil {
		r.t.Fatalf("CreateVolume %s: %v", name, err)
	}
	return response.GetVolume()
}

// remove deletes a volume that has to be deleted.
func (r *rig) remove(id string) {
	r.t.Helper()
	if _, err := r.DeleteVolume(r.t.Context(), &csi.DeleteVolumeRequest{VolumeId: id}); err != nil {
		r.t.Fatalf("DeleteVolume %s: %v", id, err)
	}
}

// fails checks an error's code and the words that its message has to have.
func fails(t *testing.T, err error, code codes.Code, words ...string) {
	t.Helper()
	if driver.Code(err) != code {
		t.Errorf("got %v (%v), want %v", driver.Code(err), err, code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not tell %q", err, word)
		}
	}
}

// path is where a name of the share is on this machine.
func (r *rig) path(names ...string) string {
	return filepath.Join(append([]string{r.root}, names...)...)
}

// names lists a directory of the share; one that does not exist is empty.
func (r *rig) names(dir ...string) []string {
	r.t.Helper()
	entries, err := os.ReadDir(r.path(dir...))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// spotless checks that the driver has nothing left of any volume, but for a
// directory that has to be as given.
func (r *rig) spotless(volumes ...string) {
	r.t.Helper()
	for _, dir := range []string{"volumes", "dirs", "new", "trash", "tmp"} {
		if left := r.names(".csi-9p", dir); len(left) > 0 {
			r.t.Errorf(".csi-9p/%s has %q", dir, left)
		}
	}
	var left []string
	for _, name := range r.names() {
		if name != ".csi-9p" {
			left = append(left, name)
		}
	}
	if strings.Join(left, " ") != strings.Join(volumes, " ") {
		r.t.Errorf("the share has %q, want %q", left, volumes)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func stat(t *testing.T, path string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t)
}
