package mounter_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
)

// TestZeroCopyIsTheVolumes: of two volumes of one session one is copied and the other is not, and each says so.
func TestZeroCopyIsTheVolumes(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	const size = 50 << 10
	for id, z := range map[string]params.ZeroCopy{"auto": params.ZeroCopyAuto, "off": params.ZeroCopyOff} {
		s := spec(t, e, id, id)
		s.Context.Parameters.ZeroCopy = z
		mnt := serve(t, m, s)
		defer mnt.unmount(t)
		content := strings.Repeat("x", size)
		if err := nodetest.WriteFile(filepath.Join(mnt.dir, "f"), content); err != nil {
			t.Fatal(err)
		}
		if got, err := nodetest.ReadFile(filepath.Join(mnt.dir, "f")); err != nil || got != content {
			t.Errorf("%s: read %d bytes, %v", id, len(got), err)
		}
	}
	byID := map[string]mounter.VolumeStats{}
	for _, s := range m.Volumes().VolumeStats() {
		byID[s.Spec.VolumeID] = s
	}
	for id, v := range byID {
		if off := v.Spec.Context.Parameters.ZeroCopy == params.ZeroCopyOff; off && (v.Sent.Off != size || v.Sent.Placed+v.Received.Placed != 0 || v.Received.Off == 0) ||
			!off && (v.Sent.Placed != size || v.Sent.Off+v.Received.Off != 0) {
			t.Errorf("%s: sent %+v, received %+v", id, v.Sent, v.Received)
		}
	}
	if s := onlyServer(t, m.Volumes()); len(byID) != 2 || s.Connected != 1 {
		t.Errorf("%d volumes on %d sessions", len(byID), s.Connected)
	}
}
