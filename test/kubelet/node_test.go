package kubelet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/test/lab"
)

// node is a node of a cluster: the mounter and the node service as processes,
// and the directories of a kubelet, whose part the test takes.
type node struct {
	csi.NodeClient
	t       *testing.T
	dir     string
	service *lab.Process
}

func newNode(t *testing.T) *node {
	t.Helper()
	return newNodeWith(t, func(mounter *exec.Cmd) *exec.Cmd { return mounter })
}

// newNodeWith is newNode with a mounter that is started by another command.
func newNodeWith(t *testing.T, by func(mounter *exec.Cmd) *exec.Cmd) *node {
	t.Helper()
	lab.NeedRoot(t)
	n := &node{t: t, dir: lab.Dir(t)}
	t.Cleanup(n.noMounts)
	lab.Start(t, by(exec.Command(lab.Binary(t), "mounter", "--listen", n.endpoint("mounter.sock"))))
	n.listens("mounter.sock")
	n.start()
	conn, err := grpc.NewClient(n.endpoint("csi.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	n.NodeClient = csi.NewNodeClient(conn)
	return n
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (n *node) endpoint(socket string) string { return "unix://" + filepath.Join(n.dir, socket) }

// start starts the node service, on the socket that its predecessor may have left.
func (n *node) start() {
	n.t.Helper()
	n.service = lab.Start(n.t, exec.Command(lab.Binary(n.t), "node", "--nodeid", "n1",
		"--endpoint", n.endpoint("csi.sock"), "--mounter", n.endpoint("mounter.sock")))
}

func (n *node) listens(socket string) {
	n.t.Helper()
	lab.Eventually(n.t, 20*time.Second, func() error {
		_, err := os.Stat(filepath.Join(n.dir, socket))
		return err
	})
}

// noMounts fails the test if anything is mounted in the node's directories.
func (n *node) noMounts() {
	table, err := mountpoint.Table()
	must(n.t, err)
	for _, m := range table {
		if rel, err := filepath.Rel(n.dir, m.MountPoint); err == nil && filepath.IsLocal(rel) {
			n.t.Errorf("still mounted: %s", m.MountPoint)
			_ = unix.Unmount(m.MountPoint, unix.MNT_DETACH)
		}
	}
}

// holdsNothing fails the test if the mounter has anything left of a volume.
func (n *node) holdsNothing() {
	n.t.Helper()
	client := mounter.Client{Path: filepath.Join(n.dir, "mounter.sock")}
	lab.Eventually(n.t, 20*time.Second, func() error {
		all, err := client.List(n.t.Context())
		if err == nil && len(all) > 0 {
			err = fmt.Errorf("the mounter still holds %+v", all)
		}
		return err
	})
}

// volume is a directory of a server, and of the node.
type volume struct {
	*node
	id     string
	server *lab.Server
}

func (n *node) volume(id string, server *lab.Server) *volume {
	n.t.Helper()
	v := &volume{node: n, id: id, server: server}
	must(n.t, os.Mkdir(v.staging(), 0o755), os.Mkdir(v.root(), 0o755))
	return v
}

func (v *volume) root() string             { return filepath.Join(v.server.Root, v.id) }
func (v *volume) staging() string          { return filepath.Join(v.dir, "stage-"+v.id) }
func (v *volume) target(pod string) string { return filepath.Join(v.dir, "pod-"+v.id+"-"+pod) }

var capability = &csi.VolumeCapability{
	AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
	AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
}

func (v *volume) subPath(pod string) string { return v.target(pod) + "-subpath" }

func (v *volume) context() map[string]string {
	return map[string]string{"server": v.server.URL + "/" + v.id}
}

func (v *volume) stage(ctx context.Context) error {
	_, err := v.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{
		VolumeId: v.id, StagingTargetPath: v.staging(), VolumeCapability: capability, VolumeContext: v.context(),
	})
	return err
}

func (v *volume) publish(ctx context.Context, pod string) error {
	_, err := v.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
		VolumeId: v.id, StagingTargetPath: v.staging(), TargetPath: v.target(pod), VolumeCapability: capability, VolumeContext: v.context(),
	})
	return err
}

func (v *volume) unpublish(ctx context.Context, pod string) error {
	_, err := v.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: v.id, TargetPath: v.target(pod)})
	return err
}

func (v *volume) unstage(ctx context.Context) error {
	_, err := v.NodeUnstageVolume(ctx, &csi.NodeUnstageVolumeRequest{VolumeId: v.id, StagingTargetPath: v.staging()})
	return err
}

// untilDone repeats a call as the kubelet does while the node service is away,
// or busy with the volume.
func untilDone(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := call(ctx)
		switch status.Code(err) {
		case codes.Unavailable, codes.Aborted:
		default:
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// pod is a process in a mount namespace of its own, where of the node's mounts
// there is nothing but the published volume, as in a container.
type pod struct {
	*lab.Process
	volume *volume
	name   string // its work's
}

// enter leads into a pod's mount namespace: $1 is the published volume, $2 where
// the pod sees it, $3 the directory that holds all of the node's mounts. Of
// those it lets go, and of any other FUSE mount of the machine: a copy would
// keep it alive after it was unmounted. They are not looked at, because a dead
// server would not answer.
const enter = `
	mount --bind "$1" "$2"
	awk -v at="$2" -v below="$3/" '$5 != at && (index($5, below) == 1 || / - fuse[. ]/) { gsub(/\\040/, " ", $5); print $5 }' /proc/self/mountinfo |
		xargs -r -d '\n' umount --lazy --no-canonicalize
	shift 3
	exec "$@"`

// pod publishes the volume to a new pod and starts its work there.
func (v *volume) pod(work string) *pod {
	v.t.Helper()
	must(v.t, untilDone(v.t.Context(), func(ctx context.Context) error { return v.publish(ctx, work) }))
	dir := filepath.Join(v.dir, "container-"+v.id+"-"+work)
	must(v.t, os.Mkdir(dir, 0o755))
	child := lab.ChildCommand(v.t, work, dir)
	cmd := exec.Command("unshare", append([]string{"--mount", "--propagation", "private",
		"sh", "-ec", enter, "sh", v.target(work), dir, v.dir}, child.Args...)...)
	cmd.Env = child.Env
	p := &pod{Process: lab.Start(v.t, cmd), volume: v, name: work}
	p.busy(v.t)
	return p
}

// busy waits until the pod has done something more.
func (p *pod) busy(t *testing.T) {
	t.Helper()
	before := len(p.Output())
	lab.Eventually(t, 30*time.Second, func() error {
		select {
		case <-p.Ended():
			t.Fatalf("the pod ended: %v\n%s", p.Wait(0), p.Output())
		default:
		}
		if len(p.Output()) == before {
			return errors.New("the pod does nothing")
		}
		return nil
	})
}

// end ends the pod as the kubelet and its runtime do.
func (p *pod) end() error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(p.PID(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		if err := p.Wait(graceOf[sig]); !errors.Is(err, lab.ErrStillRuns) {
			return nil
		}
	}
	return fmt.Errorf("pod %s: %w", p.name, lab.ErrStillRuns)
}

// graceOf is how long a pod has after a signal.
var graceOf = map[syscall.Signal]time.Duration{syscall.SIGTERM: time.Second, syscall.SIGKILL: deletion}

// delete ends pods, and unpublishes and unstages the volume, all of which goes
// on side by side as in a kubelet.
func (v *volume) delete(pods ...*pod) {
	v.t.Helper()
	var group errgroup.Group
	for _, p := range pods {
		group.Go(func() error {
			start := time.Now()
			if err := p.end(); err != nil {
				return err
			}
			v.t.Logf("pod %s ended after %v", p.name, time.Since(start).Round(100*time.Millisecond))
			return v.cleanUp(p.name)
		})
	}
	must(v.t, group.Wait())
	v.unmountDevice()
}

// cleanUp is the kubelet's: it looks at what it unmounts (PathExists), a subPath
// of the pod first, and unpublishes.
func (v *volume) cleanUp(pod string) error {
	sub := v.subPath(pod)
	if _, err := os.Stat(sub); err == nil {
		err = unix.Unmount(sub, unix.UMOUNT_NOFOLLOW)
		if err != nil {
			return fmt.Errorf("unmount %s: %w", sub, err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("stat %s: %w", sub, err)
	}
	if _, err := os.Stat(v.target(pod)); err != nil {
		return fmt.Errorf("stat %s: %w", v.target(pod), err)
	}
	return untilDone(v.t.Context(), func(ctx context.Context) error { return v.unpublish(ctx, pod) })
}
