package controller_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"google.golang.org/grpc/codes"
)

// list reads all pages of at most so many entries.
func list(t *testing.T, c *controller.Controller, entries int32) (ids []string) {
	t.Helper()
	for token := ""; ; {
		page, err := c.ListVolumes(t.Context(), &csi.ListVolumesRequest{MaxEntries: entries, StartingToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if entries > 0 && len(page.GetEntries()) > int(entries) {
			t.Errorf("a page has %d entries, more than %d", len(page.GetEntries()), entries)
		}
		for _, entry := range page.GetEntries() {
			ids = append(ids, entry.GetVolume().GetVolumeId())
		}
		if token = page.GetNextToken(); token == "" {
			return ids
		}
	}
}

func TestListVolumes(t *testing.T) {
	leakCheck(t)
	tank, pool, other := lab.Dir(t), lab.Dir(t), lab.Dir(t)
	otherURL := export(t, server.Options{Root: other})
	c := newController(t, fmt.Sprintf("shares:\n  tank: {server: %q}\n  pool: {server: %q}\n",
		export(t, server.Options{Root: tank}), export(t, server.Options{Root: pool})))
	var want []string
	for _, key := range [][]string{{"share", "pool"}, {"share", "tank"}, {"server", otherURL}} {
		var ids []string
		for i := range 5 {
			response, err := c.CreateVolume(t.Context(), request(fmt.Sprintf("pvc-%d", i), key...))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, response.GetVolume().GetVolumeId())
		}
		slices.Sort(ids)
		want = append(want, ids...)
	}
	for _, entries := range []int32{0, 1, 2, 5, 7, 15, 100} {
		if got := list(t, c, entries); !slices.Equal(got, want) {
			t.Errorf("by %d: got %q, want %q", entries, got, want)
		}
	}
}

// A page goes on after a volume that has been deleted meanwhile, and a volume
// whose record nobody can read does not hide the others.
func TestListVolumesWhileTheyGo(t *testing.T) {
	r := newRig(t)
	for i := range 4 {
		r.create(fmt.Sprintf("pvc-%d", i))
	}
	all := list(t, r.Controller, 0)
	page, err := r.ListVolumes(t.Context(), &csi.ListVolumesRequest{MaxEntries: 2})
	if err != nil {
		t.Fatal(err)
	}
	r.remove(all[1])
	broken, err := volume.ParseID(all[2])
	if err != nil {
		t.Fatal(err)
	}
	write(t, r.path(".csi-9p", "volumes", broken.UUID.String()+".json"), "broken")
	write(t, r.path(".csi-9p", "volumes", "README"), "not a record")
	page, err = r.ListVolumes(t.Context(), &csi.ListVolumesRequest{StartingToken: page.GetNextToken()})
	if err != nil || len(page.GetEntries()) != 1 || page.GetEntries()[0].GetVolume().GetVolumeId() != all[3] {
		t.Errorf("got %v, %v, want %s", page, err, all[3])
	}
}

func TestListVolumesRefuses(t *testing.T) {
	c := newController(t, "")
	_, err := c.ListVolumes(t.Context(), &csi.ListVolumesRequest{StartingToken: "junk"})
	fails(t, err, codes.Aborted, "junk")
	_, err = c.ListVolumes(t.Context(), &csi.ListVolumesRequest{MaxEntries: -1})
	fails(t, err, codes.InvalidArgument, "-1")
	c = newController(t, "shares: {tank: {server: 'unix:///nowhere'}}")
	_, err = c.ListVolumes(t.Context(), &csi.ListVolumesRequest{})
	fails(t, err, codes.Unavailable, "unix:///nowhere")
}

// Volumes of a share that one road and another lead to are listed once.
func TestListVolumesOnce(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	url := export(t, server.Options{Root: root})
	c := newController(t, fmt.Sprintf("shares: {tank: {server: %q}}", url))
	for _, key := range [][]string{{"share", "tank"}, {"server", url}} {
		if _, err := c.CreateVolume(t.Context(), request("pvc-"+key[0], key...)); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, c, 0); len(got) != 2 || got[0] == got[1] {
		t.Errorf("got %q", got)
	}
}

func TestGetCapacity(t *testing.T) {
	leakCheck(t)
	root := lab.SmallDisk(t, 8<<20)
	url := export(t, server.Options{Root: root})
	configured := newController(t, fmt.Sprintf("shares: {tank: {server: %q}}", url))
	for name, get := range map[string]func() (*csi.GetCapacityResponse, error){
		"by parameters": func() (*csi.GetCapacityResponse, error) {
			return newController(t, "").GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: map[string]string{"server": url}, VolumeCapabilities: mount})
		},
		"of all shares": func() (*csi.GetCapacityResponse, error) {
			return configured.GetCapacity(t.Context(), &csi.GetCapacityRequest{})
		},
	} {
		response, err := get()
		if got := response.GetAvailableCapacity(); err != nil || got <= 7<<20 || got > 8<<20 {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
	block := []*csi.VolumeCapability{{AccessMode: mount[0].GetAccessMode(), AccessType: &csi.VolumeCapability_Block{}}}
	response, err := configured.GetCapacity(t.Context(), &csi.GetCapacityRequest{VolumeCapabilities: block})
	if err != nil || response.GetAvailableCapacity() != 0 {
		t.Errorf("block: got %v, %v", response, err)
	}
	_, err = configured.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: map[string]string{"share": "x"}})
	fails(t, err, codes.FailedPrecondition, "x", "tank")
}

func TestExpandVolume(t *testing.T) {
	r := newRig(t)
	v := r.create("pvc-1")
	expand := func(required, limit int64) (*csi.ControllerExpandVolumeResponse, error) {
		return r.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: v.GetVolumeId(),
			CapacityRange: &csi.CapacityRange{RequiredBytes: required, LimitBytes: limit}, VolumeCapability: mount[0]})
	}
	for _, test := range [][2]int64{{2 << 30, 2 << 30}, {2 << 30, 2 << 30}, {1 << 30, 2 << 30}, {3 << 30, 3 << 30}} {
		response, err := expand(test[0], 0)
		if err != nil || response.GetCapacityBytes() != test[1] || !response.GetNodeExpansionRequired() {
			t.Errorf("to %d: got %v, %v", test[0], response, err)
		}
	}
	if got := r.readRecord("pvc-1"); got.CapacityBytes != 3<<30 {
		t.Errorf("the record says %d", got.CapacityBytes)
	}
	again, err := r.CreateVolume(t.Context(), r.request("pvc-1"))
	if err != nil || again.GetVolume().GetCapacityBytes() != 3<<30 {
		t.Errorf("created again: %v, %v", again, err)
	}
	_, err = expand(1<<30, 2<<30)
	fails(t, err, codes.OutOfRange, "shrink")
	if response, err := expand(0, 4<<30); err != nil || response.GetCapacityBytes() != 3<<30 {
		t.Errorf("a volume within the limit: got %v, %v", response, err)
	}
	_, err = expand(0, 0)
	fails(t, err, codes.InvalidArgument, "required_bytes")
	_, err = expand(-1, 0)
	fails(t, err, codes.InvalidArgument)
	for id, code := range map[string]codes.Code{
		"":     codes.InvalidArgument,
		"junk": codes.NotFound,
		r.url + "#" + volume.UUID("never made").String(): codes.NotFound,
	} {
		_, err := r.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: id, CapacityRange: &csi.CapacityRange{RequiredBytes: 1}})
		fails(t, err, code)
	}
	_, err = r.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: v.GetVolumeId()})
	fails(t, err, codes.InvalidArgument, "range")
}

func TestValidateVolumeCapabilities(t *testing.T) {
	r := newRig(t)
	v := r.create("pvc-1")
	ask := func(change func(*csi.ValidateVolumeCapabilitiesRequest)) (*csi.ValidateVolumeCapabilitiesResponse, error) {
		request := &csi.ValidateVolumeCapabilitiesRequest{VolumeId: v.GetVolumeId(), VolumeCapabilities: mount,
			VolumeContext: v.GetVolumeContext(), Parameters: map[string]string{"server": r.url}}
		if change != nil {
			change(request)
		}
		return r.ValidateVolumeCapabilities(t.Context(), request)
	}
	response, err := ask(nil)
	if err != nil || response.GetConfirmed() == nil || response.GetMessage() != "" {
		t.Errorf("got %v, %v", response, err)
	}
	for name, change := range map[string]func(*csi.ValidateVolumeCapabilitiesRequest){
		"block": func(r *csi.ValidateVolumeCapabilitiesRequest) {
			r.VolumeCapabilities = []*csi.VolumeCapability{{AccessMode: mount[0].GetAccessMode(), AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}}}
		},
		"mount options": func(r *csi.ValidateVolumeCapabilitiesRequest) {
			r.VolumeCapabilities = []*csi.VolumeCapability{{AccessMode: mount[0].GetAccessMode(),
				AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{MountFlags: []string{"hard"}}}}}
		},
		"other context":    func(r *csi.ValidateVolumeCapabilitiesRequest) { r.VolumeContext = map[string]string{"share": "x"} },
		"other parameters": func(r *csi.ValidateVolumeCapabilitiesRequest) { r.Parameters["mode"] = "0700" },
		"mutable parameters": func(r *csi.ValidateVolumeCapabilitiesRequest) {
			r.MutableParameters = map[string]string{"readAhead": "1Mi"}
		},
	} {
		response, err := ask(change)
		if err != nil || response.GetConfirmed() != nil || response.GetMessage() == "" {
			t.Errorf("%s: got %v, %v", name, response, err)
		}
	}
	_, err = ask(func(r *csi.ValidateVolumeCapabilitiesRequest) { r.VolumeId = "junk" })
	fails(t, err, codes.NotFound, "junk")
	_, err = ask(func(r *csi.ValidateVolumeCapabilitiesRequest) { r.VolumeCapabilities = nil })
	fails(t, err, codes.InvalidArgument, "capabilities")
	r.remove(v.GetVolumeId())
	_, err = ask(nil)
	fails(t, err, codes.NotFound, v.GetVolumeId())
}

// A share's address can change under living volumes.
func TestShareMoves(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	config := lab.Dir(t) + "/shares.yaml"
	write(t, config, "shares: {tank: {server: 'unix:///nowhere'}}")
	c := configured(t, config)
	_, err := c.CreateVolume(t.Context(), request("pvc-1", "share", "tank"))
	fails(t, err, codes.Unavailable, "unix:///nowhere")
	replaced := config + ".new"
	write(t, replaced, fmt.Sprintf("shares: {tank: {server: %q}}", export(t, server.Options{Root: root})))
	if err := os.Rename(replaced, config); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateVolume(t.Context(), request("pvc-1", "share", "tank")); err != nil {
		t.Fatal(err)
	}
}
