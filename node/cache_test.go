package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// TestCacheByAccessMode: who alone in the cluster may use a volume has what it
// writes kept on the node until it closes the file; all others write through.
func TestCacheByAccessMode(t *testing.T) {
	for mode, kept := range map[csi.VolumeCapability_AccessMode_Mode]bool{
		csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER: true,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER:        false,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER:  false,
		csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER:   false,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			k := newKubelet(t)
			k.must(k.stageAs("v", capability(mode)), k.publishAs("v", "a", capability(mode)))
			fd, err := unix.Open(filepath.Join(k.target("a"), "f"), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
			k.must(err)
			_, err = unix.Write(fd, []byte("written"))
			k.must(err)
			got, err := os.ReadFile(k.onServer("f"))
			if k.must(err); kept != (len(got) == 0) {
				t.Errorf("before the file is closed the server has %q", got)
			}
			k.must(unix.Close(fd))
			got, err = os.ReadFile(k.onServer("f"))
			if k.must(err); string(got) != "written" {
				t.Errorf("after the file was closed the server has %q", got)
			}
			k.must(k.unpublish("v", "a"), k.unstage("v"))
		})
	}
}

// TestUnstageFlushes: what a process wrote that still has the file open is on the
// server when the volume is unstaged.
func TestUnstageFlushes(t *testing.T) {
	k := newKubelet(t)
	alone := capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER)
	k.must(k.stageAs("v", alone), k.publishAs("v", "a", alone))
	fd, err := unix.Open(filepath.Join(k.target("a"), "f"), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	k.must(err)
	_, err = unix.Write(fd, []byte("written"))
	k.must(err)
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	got, err := os.ReadFile(k.onServer("f"))
	if k.must(err); string(got) != "written" {
		t.Errorf("when the volume is unstaged the server has %q", got)
	}
	k.must(unix.Close(fd))
}

// stageAs and publishAs are stage and publish for another use of the volume.
func (k *kubelet) stageAs(id string, use *csi.VolumeCapability) error {
	request := k.stageRequest(id)
	request.VolumeCapability = use
	_, err := k.NodeStageVolume(k.t.Context(), request)
	return err
}

func (k *kubelet) publishAs(id, target string, use *csi.VolumeCapability) error {
	request := k.publishRequest(id, target)
	request.VolumeCapability = use
	_, err := k.NodePublishVolume(k.t.Context(), request)
	return err
}

// TestOneCacheModePerStaging: a volume that is staged for one pod alone is not
// another access mode's.
func TestOneCacheModePerStaging(t *testing.T) {
	k := newKubelet(t)
	alone := capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER)
	k.must(k.stageAs("v", alone), k.stageAs("v", alone))
	code(t, k.stageAs("v", manyWriters), codes.AlreadyExists)
	k.must(k.unstage("v"), k.stageAs("v", manyWriters))
	k.must(k.stageAs("v", capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER)))
	code(t, k.stageAs("v", alone), codes.AlreadyExists)
	k.must(k.unstage("v"))
}

// TestKernelLimits: how far the kernel reads ahead is the volume's readAhead, and
// one that is written back is not throttled at a hundredth of the dirty pages.
func TestKernelLimits(t *testing.T) {
	k := newKubelet(t)
	for i, test := range []struct {
		options []string
		want    map[string]string
	}{
		{nil, map[string]string{"read_ahead_kb": "1024", "max_ratio": "1", "strict_limit": "1"}},
		{[]string{"readAhead=0"}, map[string]string{"read_ahead_kb": "0"}},
		{[]string{"readAhead=8Mi", "cache=none"}, map[string]string{"read_ahead_kb": "8192", "strict_limit": "1"}},
		{[]string{"readAhead=2Mi", "cache=loose"}, map[string]string{"read_ahead_kb": "2048", "max_ratio": "25", "strict_limit": "0"}},
	} {
		id := fmt.Sprint("v", i)
		k.must(k.stageAs(id, capability(csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER, test.options...)))
		at, err := mountpoint.At(k.staging(id))
		k.must(err)
		for name, want := range test.want {
			got, err := os.ReadFile(fmt.Sprintf("/sys/class/bdi/0:%d/%s", at[0].Minor, name))
			if k.must(err); strings.TrimSpace(string(got)) != want {
				t.Errorf("%v: %s is %s, want %s", test.options, name, strings.TrimSpace(string(got)), want)
			}
		}
		k.must(k.unstage(id))
	}
}
