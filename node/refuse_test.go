package node_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/node"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"google.golang.org/grpc/codes"
)

func TestStageRefuses(t *testing.T) {
	k := newKubelet(t)
	file := k.dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	set := func(key, value string) func(*csi.NodeStageVolumeRequest) {
		return func(r *csi.NodeStageVolumeRequest) { r.VolumeContext[key] = value }
	}
	for name, test := range map[string]struct {
		change func(*csi.NodeStageVolumeRequest)
		want   codes.Code
		says   string
	}{
		"no volume id":        {func(r *csi.NodeStageVolumeRequest) { r.VolumeId = "" }, codes.InvalidArgument, "volume_id"},
		"a long volume id":    {func(r *csi.NodeStageVolumeRequest) { r.VolumeId = strings.Repeat("v", 129) }, codes.InvalidArgument, "129"},
		"no path":             {func(r *csi.NodeStageVolumeRequest) { r.StagingTargetPath = "" }, codes.InvalidArgument, "staging_target_path"},
		"a relative path":     {func(r *csi.NodeStageVolumeRequest) { r.StagingTargetPath = "a/b" }, codes.InvalidArgument, "absolute"},
		"a path with NUL":     {func(r *csi.NodeStageVolumeRequest) { r.StagingTargetPath = "/a\x00b" }, codes.InvalidArgument, "absolute"},
		"a missing path":      {func(r *csi.NodeStageVolumeRequest) { r.StagingTargetPath = "/none/at/all" }, codes.FailedPrecondition, "does not exist"},
		"a file as path":      {func(r *csi.NodeStageVolumeRequest) { r.StagingTargetPath = file }, codes.InvalidArgument, "not a directory"},
		"no capability":       {func(r *csi.NodeStageVolumeRequest) { r.VolumeCapability = nil }, codes.InvalidArgument, "volume_capability"},
		"no access type":      {func(r *csi.NodeStageVolumeRequest) { r.VolumeCapability = &csi.VolumeCapability{} }, codes.InvalidArgument, "access type"},
		"no access mode":      {func(r *csi.NodeStageVolumeRequest) { r.VolumeCapability = capability(0) }, codes.InvalidArgument, "access mode"},
		"a block device":      {func(r *csi.NodeStageVolumeRequest) { r.VolumeCapability = block }, codes.InvalidArgument, "Filesystem"},
		"a file system":       {func(r *csi.NodeStageVolumeRequest) { r.VolumeCapability = ext4 }, codes.InvalidArgument, "ext4"},
		"an unknown option":   {func(r *csi.NodeStageVolumeRequest) { r.VolumeCapability = capability(1, "frobnicate") }, codes.InvalidArgument, "frobnicate"},
		"an inline volume":    {set("csi.storage.k8s.io/ephemeral", "true"), codes.InvalidArgument, "PersistentVolumeClaim"},
		"an unknown key":      {set("colour", "red"), codes.InvalidArgument, "colour"},
		"an ill-typed value":  {set("msize", "big"), codes.InvalidArgument, "msize"},
		"what comes later":    {set("capacity", "enforce"), codes.InvalidArgument, "later release"},
		"no server":           {func(r *csi.NodeStageVolumeRequest) { r.VolumeContext = nil }, codes.InvalidArgument, "server"},
		"no URL":              {set("server", "10.0.0.1"), codes.InvalidArgument, "10.0.0.1"},
		"an absent server":    {set("server", "tcp://127.0.0.1:1"), codes.Unavailable, "127.0.0.1:1"},
		"a missing aname":     {set("aname", "/none"), codes.NotFound, "/none"},
		"a missing directory": {set("subDir", "none/at/all"), codes.NotFound, "none/at/all"},
		"a way out":           {set("subDir", "a/../../b"), codes.InvalidArgument, ".."},
		"a long name":         {set("subDir", strings.Repeat("n", 300)), codes.InvalidArgument, "300"},
		"an unknown share":    {func(r *csi.NodeStageVolumeRequest) { r.VolumeContext = map[string]string{"share": "tank"} }, codes.FailedPrecondition, "tank"},
	} {
		t.Run(name, func(t *testing.T) {
			request := k.stageRequest("v")
			test.change(request)
			_, err := k.NodeStageVolume(t.Context(), request)
			code(t, err, test.want)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("message %v, want ...%s...", err, test.says)
			}
			k.noMounts()
		})
	}
}

var (
	block = &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
	}
	ext4 = &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: "ext4"}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
	}
)

func TestPublishRefuses(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"))
	file := k.dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*csi.NodePublishVolumeRequest)
		want   codes.Code
	}{
		"no volume id":      {func(r *csi.NodePublishVolumeRequest) { r.VolumeId = "" }, codes.InvalidArgument},
		"another volume":    {func(r *csi.NodePublishVolumeRequest) { r.VolumeId = "w" }, codes.FailedPrecondition},
		"no target":         {func(r *csi.NodePublishVolumeRequest) { r.TargetPath = "" }, codes.InvalidArgument},
		"a file as target":  {func(r *csi.NodePublishVolumeRequest) { r.TargetPath = file }, codes.InvalidArgument},
		"a missing parent":  {func(r *csi.NodePublishVolumeRequest) { r.TargetPath = k.dir + "/none/target" }, codes.FailedPrecondition},
		"no staging path":   {func(r *csi.NodePublishVolumeRequest) { r.StagingTargetPath = "" }, codes.FailedPrecondition},
		"nothing is staged": {func(r *csi.NodePublishVolumeRequest) { r.StagingTargetPath = k.dir + "/other" }, codes.FailedPrecondition},
		"no capability":     {func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability = nil }, codes.InvalidArgument},
		"a block device":    {func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability = block }, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			request := k.publishRequest("v", "a")
			test.change(request)
			_, err := k.NodePublishVolume(t.Context(), request)
			code(t, err, test.want)
			if left := nodetest.Mounts(t, k.dir); len(left) != 1 {
				t.Errorf("mounts %q, want the staging alone", left)
			}
		})
	}
	k.must(k.unstage("v"))
}

func TestPathsTakenByOtherMounts(t *testing.T) {
	k := newKubelet(t)
	bind := func(path string) {
		t.Helper()
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := (mountpoint.Mounter{}).Mount(k.exporter.Root, path, "", []string{"bind"}); err != nil {
			t.Fatal(err)
		}
	}
	bind(k.staging("w"))
	code(t, k.stage("w"), codes.FailedPrecondition)
	code(t, k.unstage("w"), codes.FailedPrecondition)
	k.must(k.stage("v"))
	bind(k.target("a"))
	code(t, k.publish("v", "a"), codes.FailedPrecondition)
	code(t, k.unpublish("v", "a"), codes.FailedPrecondition)
	k.must(k.publish("v", "b"))
	code(t, k.unpublish("w", "b"), codes.FailedPrecondition)
	for _, taken := range []string{k.staging("w"), k.target("a")} {
		if _, err := os.Stat(taken); err != nil {
			t.Errorf("somebody else's mount at %s: %v", taken, err)
		}
		if err := (mountpoint.Mounter{}).Unmount(taken); err != nil {
			t.Error(err)
		}
	}
	k.must(k.unpublish("v", "b"), k.unstage("v"))
}

// What somebody wrote beneath a mount point is not deleted.
func TestUnpublishOfATargetWithFiles(t *testing.T) {
	k := newKubelet(t)
	if err := os.MkdirAll(k.target("a")+"/precious", 0o755); err != nil {
		t.Fatal(err)
	}
	code(t, k.unpublish("v", "a"), codes.FailedPrecondition)
	if _, err := os.Stat(k.target("a") + "/precious"); err != nil {
		t.Error(err)
	}
}

func TestSingleWriter(t *testing.T) {
	k := newKubelet(t)
	single := capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER)
	stage := k.stageRequest("v")
	stage.VolumeCapability = single
	_, err := k.NodeStageVolume(t.Context(), stage)
	k.must(err)
	publish := func(target string) error {
		request := k.publishRequest("v", target)
		request.VolumeCapability = single
		_, err := k.NodePublishVolume(t.Context(), request)
		return err
	}
	k.must(publish("a"), publish("a"))
	code(t, publish("b"), codes.FailedPrecondition)
	k.must(k.unpublish("v", "a"), publish("b"), k.unpublish("v", "b"), k.unstage("v"))
}

// blocked is a mounter whose Prepare waits.
type blocked struct {
	node.Mounter
	entered, leave chan struct{}
}

func (b blocked) Prepare(ctx context.Context, spec mounter.Spec) error {
	close(b.entered)
	<-b.leave
	return b.Mounter.Prepare(ctx, spec)
}

func TestASecondCallInFlightIsAborted(t *testing.T) {
	k := newKubelet(t)
	b := blocked{k.mounter, make(chan struct{}), make(chan struct{})}
	k.Service = service(t, b, "")
	first := make(chan error, 1)
	request := k.stageRequest("v")
	go func() {
		_, err := k.NodeStageVolume(t.Context(), request)
		first <- err
	}()
	<-b.entered
	code(t, k.stage("v"), codes.Aborted)
	code(t, k.unstage("v"), codes.Aborted)
	code(t, k.publish("v", "a"), codes.Aborted)
	code(t, k.unpublish("v", "a"), codes.Aborted)
	if err := k.unstage("w"); err != nil {
		t.Errorf("a call for another volume: %v", err)
	}
	close(b.leave)
	k.must(<-first, k.unstage("v"))
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]node.Options{
		"no node id":     {},
		"a long node id": {NodeID: strings.Repeat("n", 193)},
		"no mounter":     {NodeID: "n"},
	} {
		if _, err := node.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
