package node_test

import (
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
)

func TestVolumeStats(t *testing.T) {
	k := newKubelet(t)
	request := k.stageRequest("v")
	request.VolumeContext["csi-9p.dev/capacity"] = "1073741824"
	_, err := k.NodeStageVolume(t.Context(), request)
	k.must(err, k.publish("v", "a"))
	for _, path := range []string{k.target("a"), k.staging("v")} {
		stats, err := k.stats("v", path)
		k.must(err)
		bytes := stats.GetUsage()[0]
		if bytes.GetUnit() != csi.VolumeUsage_BYTES || bytes.GetTotal() != 1<<30 || bytes.GetAvailable() <= 0 {
			t.Errorf("usage %v", stats.GetUsage())
		}
	}
	k.must(k.unpublish("v", "a"), k.unstage("v"))
}

func TestVolumeStatsRefuses(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"))
	for name, test := range map[string]struct {
		id, path string
		want     codes.Code
	}{
		"no volume id":         {"", k.staging("v"), codes.InvalidArgument},
		"no path":              {"v", "", codes.InvalidArgument},
		"another volume":       {"w", k.staging("v"), codes.NotFound},
		"another path":         {"v", k.dir, codes.NotFound},
		"a path that is gone":  {"v", k.dir + "/none/at/all", codes.NotFound},
		"a path in the volume": {"v", k.staging("v") + "/dir", codes.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := k.stats(test.id, test.path)
			code(t, err, test.want)
			_, err = k.NodeExpandVolume(t.Context(), &csi.NodeExpandVolumeRequest{VolumeId: test.id, VolumePath: test.path})
			code(t, err, test.want)
		})
	}
	k.must(k.unstage("v"))
}

func TestExpand(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"))
	expand := func(required, limit int64) (*csi.NodeExpandVolumeResponse, error) {
		return k.NodeExpandVolume(t.Context(), &csi.NodeExpandVolumeRequest{
			VolumeId: "v", VolumePath: k.staging("v"),
			CapacityRange: &csi.CapacityRange{RequiredBytes: required, LimitBytes: limit},
		})
	}
	if r, err := expand(2<<30, 0); err != nil || r.GetCapacityBytes() != 2<<30 {
		t.Errorf("expand: %v, %v", r, err)
	}
	if stats, err := k.stats("v", k.staging("v")); err != nil || stats.GetUsage()[0].GetTotal() != 2<<30 {
		t.Errorf("stats afterwards: %v, %v", stats, err)
	}
	k.restart()
	if r, err := expand(0, 0); err != nil || r.GetCapacityBytes() != 2<<30 {
		t.Errorf("asked without a size: %v, %v", r, err)
	}
	k.must(k.stage("v")) // its size is no reason to call it another volume
	_, err := expand(2, 1)
	code(t, err, codes.InvalidArgument)
	k.must(k.unstage("v"))
}

func TestInfo(t *testing.T) {
	k := newKubelet(t)
	info, err := k.NodeGetInfo(t.Context(), &csi.NodeGetInfoRequest{})
	if err != nil || info.GetNodeId() != "n1" {
		t.Errorf("NodeGetInfo: %v, %v", info, err)
	}
	capabilities, err := k.NodeGetCapabilities(t.Context(), &csi.NodeGetCapabilitiesRequest{})
	if err != nil || len(capabilities.GetCapabilities()) != 6 {
		t.Errorf("NodeGetCapabilities: %v, %v", capabilities, err)
	}
}
