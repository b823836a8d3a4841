package controller_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/driver/topology"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
)

// device is the server of volumes on a virtio device.
const device = "virtio://share0"

// newDeviceRig makes a controller on a node whose mounter has a device. The
// mounter is an exporter here: the way to a device is by its URL as the aname.
func newDeviceRig(t *testing.T, o controller.Options) *rig {
	t.Helper()
	leakCheck(t)
	all := lab.Dir(t)
	root := filepath.Join(all, "virtio:", "share0")
	mkdir(t, root)
	o.Mounter = strings.TrimPrefix(export(t, server.Options{Root: all}), "unix://")
	return &rig{Controller: newControllerWith(t, o), t: t, root: root, url: device}
}

// located are the options of a controller for which not every node has the shares.
func located(t *testing.T, urls ...string) controller.Options {
	t.Helper()
	shares, err := topology.ParseShares(urls)
	if err != nil {
		t.Fatal(err)
	}
	return controller.Options{Topology: shares}
}

// uuid is what the rig's share is called in its store.
func (r *rig) uuid() uuid.UUID {
	r.t.Helper()
	data, err := os.ReadFile(r.path(".csi-9p", "share.json"))
	if err != nil {
		r.t.Fatal(err)
	}
	var share struct{ UUID uuid.UUID }
	if err := json.Unmarshal(data, &share); err != nil {
		r.t.Fatal(err)
	}
	return share.UUID
}

// near is the topology of a node that has the rig's share and another one.
func (r *rig) near() *csi.Topology { return topology.Of(r.uuid(), uuid.New()) }

// isHere checks that a volume is accessible from where its share is, and from
// nowhere else.
func (r *rig) isHere(v *csi.Volume) {
	r.t.Helper()
	at := v.GetAccessibleTopology()
	if len(at) != 1 || len(at[0].GetSegments()) != 1 || at[0].GetSegments()["share.csi-9p.dev/"+r.uuid().String()] != "true" {
		r.t.Errorf("accessible from %v, the share is %s", at, r.uuid())
	}
}

// A volume of a virtio device is made by way of controllerServer, and mounted by
// way of the device.
func TestDeviceByControllerServer(t *testing.T) {
	r := newRig(t)
	v := r.create("pvc-1", "server", device, "controllerServer", r.url)
	if got := v.GetVolumeContext()["server"]; got != device || !exists(r.path("pvc-1")) {
		t.Errorf("nodes mount from %q; made: %t", got, exists(r.path("pvc-1")))
	}
	if v.GetAccessibleTopology() != nil {
		t.Errorf("accessible from %v alone, without topology", v.GetAccessibleTopology())
	}
	if again := r.create("pvc-1", "server", device, "controllerServer", r.url); again.GetVolumeId() != v.GetVolumeId() {
		t.Errorf("made again as %s", again.GetVolumeId())
	}
	if _, err := r.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: v.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: 2 << 30},
	}); err != nil {
		t.Error(err)
	}
	r.remove(v.GetVolumeId())
	r.spotless()
}

// Without a road to the device a claim says what is missing, and both cures.
func TestDeviceWithoutRoad(t *testing.T) {
	leakCheck(t)
	_, err := newController(t, "").CreateVolume(t.Context(), request("pvc-1", "server", device))
	fails(t, err, codes.InvalidArgument, "controllerServer", device, "--sessions")
	_, err = newController(t, "shares: {tank: {server: 'virtio://share0'}}").CreateVolume(t.Context(), request("pvc-1", "share", "tank"))
	fails(t, err, codes.InvalidArgument, "controllerServer", "--sessions")
}

// A controller on a node makes and deletes through the mounter; nobody resizes there.
func TestDeviceThroughMounter(t *testing.T) {
	r := newDeviceRig(t, controller.Options{})
	v := r.create("pvc-1")
	if !exists(r.path("pvc-1")) || !strings.Contains(v.GetVolumeId(), device) {
		t.Errorf("volume %s; made: %t", v.GetVolumeId(), exists(r.path("pvc-1")))
	}
	list, err := r.ListVolumes(t.Context(), &csi.ListVolumesRequest{})
	if err != nil || len(list.GetEntries()) != 1 || list.GetEntries()[0].GetVolume().GetVolumeId() != v.GetVolumeId() {
		t.Errorf("listed %v, %v", list, err)
	}
	capabilities, err := r.ControllerGetCapabilities(t.Context(), &csi.ControllerGetCapabilitiesRequest{})
	if err != nil || slices.ContainsFunc(capabilities.GetCapabilities(), func(c *csi.ControllerServiceCapability) bool {
		return c.GetRpc().GetType() == csi.ControllerServiceCapability_RPC_EXPAND_VOLUME
	}) {
		t.Errorf("can %v, %v", capabilities, err)
	}
	r.remove(v.GetVolumeId())
	r.spotless()
	_, err = r.CreateVolume(t.Context(), request("pvc-1", "server", "virtio://share1"))
	fails(t, err, codes.NotFound, "this node's mounter", "virtio://share1")
}

// A mounter that is away is something to try again.
func TestMounterAway(t *testing.T) {
	leakCheck(t)
	c := newControllerWith(t, controller.Options{Mounter: "/nowhere/sessions.sock"})
	_, err := c.CreateVolume(t.Context(), request("pvc-1", "server", device))
	fails(t, err, codes.Unavailable, "this node's mounter", "/nowhere/sessions.sock")
}

// Volumes are where their share is: the same for every controller and by every
// road, when they are made, made again and listed.
func TestAccessibleTopology(t *testing.T) {
	r := newDeviceRig(t, located(t, device))
	v := r.create("pvc-1")
	r.isHere(v)
	r.isHere(r.create("pvc-1"))
	list, err := r.ListVolumes(t.Context(), &csi.ListVolumesRequest{})
	if err != nil || len(list.GetEntries()) != 1 {
		t.Fatalf("listed %v, %v", list, err)
	}
	r.isHere(list.GetEntries()[0].GetVolume())

	central := newControllerWith(t, located(t, device))
	byNetwork := export(t, server.Options{Root: r.root})
	made, err := central.CreateVolume(t.Context(), request("pvc-2", "server", device, "controllerServer", byNetwork))
	if err != nil {
		t.Fatal(err)
	}
	r.isHere(made.GetVolume())
	made, err = central.CreateVolume(t.Context(), request("pvc-3", "server", byNetwork))
	if err != nil || made.GetVolume().GetAccessibleTopology() != nil {
		t.Errorf("a volume of the network is accessible from %v alone, %v", made.GetVolume().GetAccessibleTopology(), err)
	}
}

// What a volume is to be accessible from is honoured, or refused so that the
// caller chooses another node, with nothing made.
func TestAccessibilityRequirements(t *testing.T) {
	r := newDeviceRig(t, located(t, device))
	r.remove(r.create("pvc-0").GetVolumeId()) // the share has its name
	here, far := r.near(), topology.Of(uuid.New())
	ask := func(name string, requirement *csi.TopologyRequirement) error {
		q := r.request(name)
		q.AccessibilityRequirements = requirement
		response, err := r.CreateVolume(t.Context(), q)
		if err == nil {
			r.isHere(response.GetVolume())
		}
		return err
	}
	for name, elsewhere := range map[string][]*csi.Topology{
		"another share":  {far},
		"no share":       {{}},
		"another key":    {{Segments: map[string]string{"topology.kubernetes.io/zone": "a"}}},
		"another value":  {{Segments: map[string]string{topology.Prefix + r.uuid().String(): "false"}}},
		"several places": {far, topology.Of(uuid.New())},
	} {
		fails(t, ask(name, &csi.TopologyRequirement{Requisite: elsewhere, Preferred: elsewhere}), codes.ResourceExhausted, r.uuid().String(), "allowedTopologies")
	}
	r.spotless()
	for name, requirement := range map[string]*csi.TopologyRequirement{
		"here":            {Requisite: []*csi.Topology{here}, Preferred: []*csi.Topology{here}},
		"here as well":    {Requisite: []*csi.Topology{far, here}, Preferred: []*csi.Topology{far}},
		"better far away": {Preferred: []*csi.Topology{far}},
	} {
		if err := ask(name, requirement); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	fails(t, ask("here", &csi.TopologyRequirement{Requisite: []*csi.Topology{far}}), codes.AlreadyExists, "exists")
}

// Capacity is that of the shares that a place has.
func TestCapacityOfAPlace(t *testing.T) {
	r := newDeviceRig(t, located(t, device))
	r.create("pvc-1")
	for _, test := range []struct {
		place *csi.Topology
		some  bool
	}{{nil, true}, {r.near(), true}, {topology.Of(uuid.New()), false}} {
		response, err := r.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: map[string]string{"server": device}, AccessibleTopology: test.place})
		if err != nil || response.GetAvailableCapacity() > 0 != test.some {
			t.Errorf("at %v: %v, %v", test.place, response, err)
		}
	}
}

// A share has one name, whoever makes it, all at once.
func TestShareIsNamedOnce(t *testing.T) {
	r := newDeviceRig(t, located(t, device))
	all := filepath.Dir(filepath.Dir(r.root))
	var work sync.WaitGroup
	for i := range 8 {
		o := located(t, device)
		o.Mounter = strings.TrimPrefix(export(t, server.Options{Root: all}), "unix://")
		c := newControllerWith(t, o)
		work.Go(func() {
			made, err := c.CreateVolume(t.Context(), r.request("pvc-"+string(rune('a'+i))))
			if err != nil {
				t.Error(err)
				return
			}
			r.isHere(made.GetVolume())
		})
	}
	work.Wait()
}

// What stands in the place of a share's name, and is none, is told and left alone.
func TestShareNameIsChecked(t *testing.T) {
	r := newDeviceRig(t, located(t, device))
	r.create("pvc-1")
	path := r.path(".csi-9p", "share.json")
	good := r.uuid().String()
	for name, plant := range map[string]func() error{
		"a symlink":   func() error { return os.Symlink("/etc/passwd", path) },
		"a directory": func() error { return os.Mkdir(path, 0o755) },
		"no UUID":     func() error { return os.WriteFile(path, []byte(`{"version": 1, "uuid": "../x"}`), 0o600) },
		"the nil UUID": func() error {
			return os.WriteFile(path, []byte(`{"version": 1, "uuid": "`+uuid.Nil.String()+`"}`), 0o600)
		},
		"other version": func() error { return os.WriteFile(path, []byte(`{"version": 2, "uuid": "`+good+`"}`), 0o600) },
		"too long": func() error {
			return os.WriteFile(path, []byte(`{"version": 1, "uuid": "`+good+`"}`+strings.Repeat(" ", 1<<20)), 0o600)
		},
	} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		_, err := r.CreateVolume(t.Context(), r.request("pvc-2"))
		if err == nil {
			t.Errorf("%s: taken for a name", name)
		}
		fails(t, err, codes.FailedPrecondition, "share.json")
	}
}
