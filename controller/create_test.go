package controller_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"google.golang.org/grpc/codes"
)

func TestCreateVolume(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		v := r.create("pvc-1", "uid", "1000", "gid", "1001", "mode", "2770", "cache", "none")
		s := stat(t, r.path("pvc-1"))
		if s.Mode != 0o042770 || s.Uid != 1000 || s.Gid != 1001 {
			t.Errorf("mode %o, owner %d:%d", s.Mode, s.Uid, s.Gid)
		}
		if v.GetCapacityBytes() != 1<<30 || len(v.GetVolumeId()) > 128 {
			t.Errorf("got %v", v)
		}
		c, _, err := volume.ParseContext(v.GetVolumeContext(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Directory, []string{"pvc-1"}) || !c.Provisioned || c.CapacityBytes != 1<<30 || c.Parameters.Cache != "none" {
			t.Errorf("a node reads %+v", c)
		}
		for _, dir := range []string{"new", "trash", "tmp"} {
			if left := r.names(".csi-9p", dir); len(left) > 0 {
				t.Errorf(".csi-9p/%s has %q", dir, left)
			}
		}
	})
}

// A retry, of this controller or of another one, gets the same volume.
func TestCreateVolumeAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		first := r.create("pvc-1")
		write(t, r.path("pvc-1", "data"), "data")
		other := &rig{Controller: newController(t, ""), t: t, root: r.root, url: r.url}
		for _, c := range []*rig{r, other} {
			again := c.create("pvc-1")
			if again.GetVolumeId() != first.GetVolumeId() || !maps.Equal(again.GetVolumeContext(), first.GetVolumeContext()) {
				t.Errorf("got %v, then %v", first, again)
			}
		}
		if !exists(r.path("pvc-1", "data")) {
			t.Error("its data is gone")
		}
	})
}

func TestCreateVolumeOtherwise(t *testing.T) {
	r := newRig(t)
	r.create("pvc-1")
	larger := r.request("pvc-1")
	larger.CapacityRange = &csi.CapacityRange{RequiredBytes: 2 << 30}
	for tells, request := range map[string]*csi.CreateVolumeRequest{
		"capacity":   larger,
		"parameters": r.request("pvc-1", "mode", "0700"),
		"other":      r.request("pvc-1", "subDir", "elsewhere"),
	} {
		_, err := r.CreateVolume(t.Context(), request)
		fails(t, err, codes.AlreadyExists, "pvc-1", tells)
	}
	if got := r.names(); !slices.Equal(got, []string{".csi-9p", "pvc-1"}) {
		t.Errorf("the share has %q", got)
	}
}

func TestCreateVolumeSubDir(t *testing.T) {
	r := newRig(t)
	metadata := []string{"csi.storage.k8s.io/pv/name", "pvc-1", "csi.storage.k8s.io/pvc/name", "data", "csi.storage.k8s.io/pvc/namespace", "web"}
	v := r.create("pvc-1", append(metadata, "subDir", "k8s/${pvc.metadata.namespace}/${pvc.metadata.name}", "mode", "0700")...)
	if s := stat(t, r.path("k8s", "web", "data")); s.Mode != 0o040700 {
		t.Errorf("mode %o", s.Mode)
	}
	if s := stat(t, r.path("k8s", "web")); s.Mode&0o777 != 0o755 {
		t.Errorf("the directory above has mode %o", s.Mode)
	}
	r.remove(v.GetVolumeId())
	r.spotless("k8s")
}

// Names as long as CSI allows them.
func TestCreateVolumeLongName(t *testing.T) {
	r := newRig(t)
	name := strings.Repeat("n", 128)
	v := r.create(name)
	if !exists(r.path(name)) {
		t.Error("the directory is missing")
	}
	r.remove(v.GetVolumeId())
	r.spotless()
}

// What is wrong with a request is told before any server is asked, by a code
// that the provisioner does not try again.
func TestCreateVolumeRefuses(t *testing.T) {
	c := newController(t, "")
	with := func(change func(*csi.CreateVolumeRequest), pairs ...string) *csi.CreateVolumeRequest {
		r := request("pvc-1", append([]string{"server", "tcp://127.0.0.1:1"}, pairs...)...)
		if change != nil {
			change(r)
		}
		return r
	}
	capability := func(c *csi.VolumeCapability) func(*csi.CreateVolumeRequest) {
		return func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities = []*csi.VolumeCapability{c} }
	}
	size := func(required, limit int64) func(*csi.CreateVolumeRequest) {
		return func(r *csi.CreateVolumeRequest) {
			r.CapacityRange = &csi.CapacityRange{RequiredBytes: required, LimitBytes: limit}
		}
	}
	mode := mount[0].GetAccessMode()
	for name, test := range map[string]struct {
		request *csi.CreateVolumeRequest
		code    codes.Code
		tells   string
	}{
		"no name":           {with(func(r *csi.CreateVolumeRequest) { r.Name = "" }), codes.InvalidArgument, "name"},
		"name of 300 bytes": {with(func(r *csi.CreateVolumeRequest) { r.Name = strings.Repeat("n", 300) }), codes.InvalidArgument, "300"},
		"name with a slash": {with(func(r *csi.CreateVolumeRequest) { r.Name = "a/b" }), codes.InvalidArgument, "'/'"},
		"no capabilities":   {with(func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities = nil }), codes.InvalidArgument, "capabilities"},
		"block": {with(capability(&csi.VolumeCapability{AccessMode: mode,
			AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}})), codes.InvalidArgument, "Filesystem"},
		"no access type": {with(capability(&csi.VolumeCapability{AccessMode: mode})), codes.InvalidArgument, "access type"},
		"no access mode": {with(capability(&csi.VolumeCapability{AccessType: mount[0].GetAccessType()})), codes.InvalidArgument, "access mode"},
		"ext4": {with(capability(&csi.VolumeCapability{AccessMode: mode, AccessType: &csi.VolumeCapability_Mount{
			Mount: &csi.VolumeCapability_MountVolume{FsType: "ext4"}}})), codes.InvalidArgument, "ext4"},
		"mount option": {with(capability(&csi.VolumeCapability{AccessMode: mode, AccessType: &csi.VolumeCapability_Mount{
			Mount: &csi.VolumeCapability_MountVolume{MountFlags: []string{"hard"}}}})), codes.InvalidArgument, "hard"},
		"snapshot":         {with(func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = &csi.VolumeContentSource{} }), codes.InvalidArgument, "dataSource"},
		"mutable":          {with(func(r *csi.CreateVolumeRequest) { r.MutableParameters = map[string]string{"msize": "1Mi"} }), codes.InvalidArgument, "volumeAttributesClassName"},
		"negative size":    {with(size(-1, 0)), codes.InvalidArgument, "negative"},
		"limit below size": {with(size(2, 1)), codes.OutOfRange, "limit"},
		"unknown key":      {with(nil, "subdri", "x"), codes.InvalidArgument, "subDir"},
		"ill-typed value":  {with(nil, "mode", "rw"), codes.InvalidArgument, "octal"},
		"later release":    {with(nil, "capacity", "enforce"), codes.InvalidArgument, "later release"},
		"not the kernel's": {with(nil, "engine", "kernel", "maxInFlight", "1Mi"), codes.InvalidArgument, "maxInFlight"},
		"no metadata":      {with(nil, "subDir", "${pvc.metadata.name}"), codes.InvalidArgument, "--extra-create-metadata"},
		"unknown template": {with(nil, "subDir", "${node}"), codes.InvalidArgument, "${node}"},
		"driver's own":     {with(nil, "subDir", ".csi-9p/x"), codes.InvalidArgument, ".csi-9p"},
		"long id":          {request("pvc-1", "server", "unix:///"+strings.Repeat("a", 100)), codes.InvalidArgument, "share"},
		"no server":        {request("pvc-1"), codes.InvalidArgument, "server"},
		"unknown share":    {request("pvc-1", "share", "tank"), codes.FailedPrecondition, "tank"},
	} {
		_, err := c.CreateVolume(t.Context(), test.request)
		t.Run(name, func(t *testing.T) { fails(t, err, test.code, test.tells) })
	}
}

// What the server behind a share's name decides is refused when the volume is made, not on a node.
func TestCreateVolumeKernelEngineOfAShare(t *testing.T) {
	c := newController(t, "shares: {vault: {server: 'tls://127.0.0.1:1'}}")
	_, err := c.CreateVolume(t.Context(), request("pvc-1", "share", "vault", "engine", "kernel"))
	fails(t, err, codes.InvalidArgument, "tls://")
}

// A directory that was there before is not taken over, and what the call had
// begun is taken back.
func TestCreateVolumeOccupied(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		mkdir(t, r.path("mine"))
		write(t, r.path("mine", "data"), "data")
		_, err := r.CreateVolume(t.Context(), r.request("pvc-1", "subDir", "mine"))
		fails(t, err, codes.AlreadyExists, `"mine"`)
		r.spotless("mine")
		if !exists(r.path("mine", "data")) {
			t.Error("its data is gone")
		}
	})
}

func TestCreateVolumeParentIsNoDirectory(t *testing.T) {
	r := newRig(t)
	outside := lab.Dir(t)
	if err := os.Symlink(outside, r.path("link")); err != nil {
		t.Fatal(err)
	}
	write(t, r.path("file"), "")
	for _, name := range []string{"link", "file"} {
		_, err := r.CreateVolume(t.Context(), r.request("pvc-1", "subDir", name+"/x"))
		fails(t, err, codes.FailedPrecondition, name)
	}
	r.spotless("file", "link")
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside the share is %v, %v", entries, err)
	}
}

func TestCreateVolumeOneDirectoryOneVolume(t *testing.T) {
	r := newRig(t)
	r.create("pvc-1", "subDir", "a/b")
	for subDir, tells := range map[string]string{
		"a/b":   "another volume",
		"a/b/c": "lies inside a/b",
		"a":     `"a" exists`,
	} {
		_, err := r.CreateVolume(t.Context(), r.request("pvc-2", "subDir", subDir))
		fails(t, err, codes.AlreadyExists, tells)
	}
	if got := r.names("a"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("a has %q", got)
	}
	if got := r.names(".csi-9p", "volumes"); len(got) != 1 {
		t.Errorf("there are records %q", got)
	}
}

// Several controllers may get the same call at once: one directory comes of it.
func TestCreateVolumeByManyControllers(t *testing.T) {
	r := newRig(t)
	const controllers = 6
	ids := make([]string, controllers)
	var group sync.WaitGroup
	for i := range controllers {
		c := newController(t, "")
		group.Go(func() {
			for {
				response, err := c.CreateVolume(t.Context(), r.request("pvc-1", "subDir", "a/b"))
				if driver.Code(err) == codes.Aborted {
					continue
				}
				if err != nil {
					t.Errorf("controller %d: %v", i, err)
					return
				}
				ids[i] = response.GetVolume().GetVolumeId()
				return
			}
		})
	}
	group.Wait()
	if different := slices.Compact(ids); len(different) != 1 {
		t.Errorf("got ids %q", different)
	}
	if got := r.names(".csi-9p", "new"); len(got) > 0 {
		t.Errorf("left aside: %q", got)
	}
	got := r.readRecord("pvc-1")
	if got.State != record.Ready || got.QID.Path != stat(t, r.path("a", "b")).Ino {
		t.Errorf("got %+v", got)
	}
}

// readRecord reads a volume's record as a controller would.
func (r *rig) readRecord(name string) *record.Record {
	r.t.Helper()
	data, err := os.ReadFile(r.path(".csi-9p", "volumes", volume.UUID(name).String()+".json"))
	if err != nil {
		r.t.Fatal(err)
	}
	got, err := record.Decode(data)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func TestCreateVolumeReadOnlyShare(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	url := export(t, server.Options{Root: root, ReadOnly: true})
	_, err := newController(t, "").CreateVolume(t.Context(), request("pvc-1", "server", url))
	fails(t, err, codes.FailedPrecondition, "read-only")
}

func TestCreateVolumeFullDisk(t *testing.T) {
	leakCheck(t)
	root := lab.SmallDisk(t, 1<<20)
	r := &rig{Controller: newController(t, ""), t: t, root: root, url: export(t, server.Options{Root: root})}
	v := r.create("pvc-1")
	filling := strings.Repeat("x", 1<<20)
	_ = os.WriteFile(r.path("pvc-1", "fill"), []byte(filling), 0o644)
	_, err := r.CreateVolume(t.Context(), r.request("pvc-2"))
	fails(t, err, codes.ResourceExhausted, "no space")
	r.remove(v.GetVolumeId())
	r.spotless()
	r.create("pvc-2")
}

func TestCreateVolumeNotPermitted(t *testing.T) {
	r := newRig(t)
	_, err := r.CreateVolume(t.Context(), r.request("pvc-1", "attachUid", "1000"))
	fails(t, err, codes.PermissionDenied)
}

// A server whose user may do nothing but own things is good enough for volumes
// of that user.
func TestCreateVolumeAsUser(t *testing.T) {
	r := newRig(t)
	if err := os.Chown(r.root, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	v := r.create("pvc-1", "attachUid", "1000", "uid", "1000", "gid", "1000")
	if !strings.HasSuffix(v.GetVolumeId(), "@1000") {
		t.Errorf("the id %s does not tell who attaches", v.GetVolumeId())
	}
	write(t, filepath.Join(r.path("pvc-1"), "data"), "data")
	r.remove(v.GetVolumeId())
	r.spotless()
	_, err := r.CreateVolume(t.Context(), r.request("pvc-2", "attachUid", "1000", "uid", "0", "gid", "0"))
	fails(t, err, codes.PermissionDenied, "attachUid")
	r.spotless()
}
