package driver_test

import (
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"google.golang.org/grpc/codes"
)

func TestCheckCapability(t *testing.T) {
	mount := func(fsType string, mode csi.VolumeCapability_AccessMode_Mode) *csi.VolumeCapability {
		return &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: fsType}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode},
		}
	}
	const many = csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER
	for mode := range csi.VolumeCapability_AccessMode_Mode_name {
		c := mount("", csi.VolumeCapability_AccessMode_Mode(mode))
		if err := driver.CheckCapability(c); (err != nil) != (mode == 0) {
			t.Errorf("%v: %v", c.GetAccessMode().GetMode(), err)
		}
	}
	if err := driver.CheckCapability(mount("9p", many)); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		capability *csi.VolumeCapability
		tells      string
	}{
		"none":            {nil, "missing"},
		"a block device":  {&csi.VolumeCapability{AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}}, "Filesystem"},
		"no access type":  {&csi.VolumeCapability{AccessMode: mount("", many).GetAccessMode()}, "access type"},
		"no access mode":  {mount("", 0), "access mode"},
		"an unknown mode": {mount("", 99), "99"},
		"a file system":   {mount("ext4", many), "ext4"},
	} {
		err := driver.CheckCapability(test.capability)
		if driver.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.tells) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
