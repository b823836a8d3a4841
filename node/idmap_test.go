package node_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"golang.org/x/sys/unix"
)

// podIDs is where the ids of a pod with hostUsers: false begin on the node.
const podIDs = 200000

// inUserNamespace is a command that runs in a user namespace as the kubelet
// asks for, as that user of it.
func inUserNamespace(ctx context.Context, uid int, name string, args ...string) *exec.Cmd {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: podIDs, Size: 65536}}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)},
	}
	return cmd
}

// idmap binds the volume at source to target with the owners of files mapped to
// the pod's, as container runtimes do.
func idmap(t *testing.T, source, target string) error {
	t.Helper()
	holder := inUserNamespace(t.Context(), 0, "sleep", "60")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	}()
	userns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer userns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return err
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatal(err)
	}
	return nil
}

// needIDMap skips the test where FUSE mounts cannot have their owners mapped.
func needIDMap(t *testing.T) {
	t.Helper()
	dir := nodetest.Dir(t)
	dev, err := fuse.OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if err := fuse.Mount(dev, dir, fuse.MountOptions{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	const flags2 = 56 // of fuse_init_in, behind fuse_in_header
	init := make([]byte, 1<<16)
	if _, err := unix.Read(int(dev.Fd()), init); err != nil {
		t.Fatal(err)
	}
	if binary.NativeEndian.Uint32(init[flags2:])&uint32(fuse.AllowIDMap>>32) == 0 {
		t.Skip("mapping the owners of a FUSE mount needs Linux 6.12")
	}
}

// A pod with a user namespace of its own: its ids are the volume's, whatever the
// node knows them as.
func TestPodWithAUserNamespace(t *testing.T) {
	needIDMap(t)
	k := newKubelet(t)
	for dir := k.dir; dir != os.TempDir(); dir = filepath.Dir(dir) {
		k.must(os.Chmod(dir, 0o755)) // t.TempDir's are the user's own
	}
	k.must(k.stage("v"), k.publish("v", "a"))
	if err := idmap(t, k.target("a"), k.dir+"/container"); err != nil {
		t.Fatalf("the runtime cannot map the volume's owners: %v", err)
	}
	pod := func(uid int, script string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := inUserNamespace(ctx, uid, "/bin/sh", "-ec", script)
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "V="+k.dir+"/container")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("as user %d of the pod: %v\n%s\n%s", uid, err, script, out)
		}
	}
	pod(0, `chmod 1777 $V; mkdir $V/roots; echo secret >$V/roots/f; chmod 700 $V/roots; test "$(stat -c %u:%g $V/roots/f)" = 0:0`)
	pod(1000, `cd $V
		umask 027
		echo mine >file; mkdir dir; ln -s file link; mkfifo pipe; ln file dir/hard
		for f in file dir link pipe dir/hard; do test "$(stat -c %u:%g $f)" = 1000:1000; done
		mv file dir/moved; rm link; test "$(cat dir/moved dir/hard)" = "mine
mine"
		echo more >>dir/moved; : >dir/hard; test ! -s dir/moved
		chmod 600 dir/moved; touch -d @1 dir/moved; flock dir/moved true
		refused() { if "$@" 2>/dev/null; then echo "not refused: $*"; exit 1; fi; }
		refused cat roots/f; refused chown 1001 dir/moved; refused rm -r roots`)
	pod(0, `chown 1001:1002 $V/dir/moved; test "$(stat -c %u:%g $V/dir/moved)" = 1001:1002`)
	for name, want := range map[string]string{"roots/f": "0:0", "dir": "1000:1000", "pipe": "1000:1000", "dir/moved": "1001:1002"} {
		info, err := os.Lstat(k.onServer(name))
		if err != nil {
			t.Error(err)
			continue
		}
		st := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%d:%d", st.Uid, st.Gid); got != want {
			t.Errorf("%s belongs to %s on the server, want %s", name, got, want)
		}
	}
	// The node's own users have no ids in the mapped mount.
	if err := nodetest.WriteFile(k.dir+"/container/stranger", "x"); !errors.Is(err, unix.EOVERFLOW) {
		t.Errorf("a user without an id makes a file: %v, want EOVERFLOW", err)
	}
	k.must(unix.Unmount(k.dir+"/container", unix.MNT_DETACH))
	k.hello("a")
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	k.noMounts()
}

// Where the server judges it must know the caller, whom a mapped mount does not
// tell: the runtime's mount is refused, and with it the pod.
func TestPodWithAUserNamespaceOnAVolumeOfUsers(t *testing.T) {
	k := newKubelet(t)
	stage, publish := k.stageRequest("v"), k.publishRequest("v", "a")
	stage.VolumeContext["access"], publish.VolumeContext["access"] = "user", "user"
	_, err := k.NodeStageVolume(t.Context(), stage)
	k.must(err)
	_, err = k.NodePublishVolume(t.Context(), publish)
	k.must(err)
	if err := idmap(t, k.target("a"), k.dir+"/container"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("mapping the owners: %v, want EINVAL", err)
	}
	k.hello("a")
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	k.noMounts()
}
