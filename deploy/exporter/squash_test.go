package exporter_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/csi-9p/csi-9p/test/lab"
)

const unprivileged = 65532 // the user of the image and of overlays/squash

// TestSquashed runs the exporter as overlays/squash does, as an unprivileged user without any capability, and has a volume made,
// used by several users and deleted there, with the parameters that the overlay's text asks for.
func TestSquashed(t *testing.T) {
	lab.NeedRoot(t)
	root := unprivilegedDir(t)
	url := serveBy(t, exec.Command(lab.Need(t, "setpriv", "util-linux"), "--no-new-privs", "--bounding-set", "-all",
		"--reuid", "65532", "--regid", "65532", "--clear-groups", lab.Binary(t), "serve"), root)
	client := controller(t)
	made, err := client.CreateVolume(t.Context(), &csi.CreateVolumeRequest{
		Name:       "pvc-1",
		Parameters: map[string]string{"server": url, "access": "user", "uid": "65532", "gid": "65532"},
		VolumeCapabilities: []*csi.VolumeCapability{{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	mount := lab.Mount(t, url+"/pvc-1", "access=user")
	for _, uid := range []string{"0", "1000", "2000"} {
		cmd := exec.Command(lab.Need(t, "setpriv", "util-linux"), "--reuid", uid, "--regid", uid, "--clear-groups",
			"sh", "-ec", "echo $0 >> log; mkdir -p dir; echo $0 > dir/$0; cat dir/*; chmod 700 dir/$0", uid)
		cmd.Dir = mount.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("user %s: %v\n%s", uid, err, out)
		}
	}
	info, err := os.Stat(filepath.Join(root, "pvc-1", "log"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != unprivileged {
		t.Errorf("the file is not the exporter's user's: %v, %v", info, err)
	}
	if _, err := client.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: made.GetVolume().GetVolumeId()}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "pvc-1")); !os.IsNotExist(err) {
		t.Errorf("the deleted volume is still there: %v", err)
	}
}

// controller runs the controller until the test ends, unprivileged too, and returns a client of it.
func controller(t *testing.T) csi.ControllerClient {
	t.Helper()
	socket := filepath.Join(unprivilegedDir(t), "csi.sock")
	lab.Start(t, exec.Command(lab.Need(t, "setpriv", "util-linux"), "--no-new-privs", "--bounding-set", "-all",
		"--reuid", "65532", "--regid", "65532", "--clear-groups", lab.Binary(t), "controller", "--endpoint", "unix://"+socket))
	lab.Eventually(t, 10*time.Second, func() error { return accepts("unix", socket) })
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return csi.NewControllerClient(conn)
}

// unprivilegedDir is a directory that the unprivileged user owns and can reach.
func unprivilegedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // another user walks through it.
		t.Fatal(err)
	}
	if err := os.Chown(dir, unprivileged, unprivileged); err != nil {
		t.Fatal(err)
	}
	return dir
}

// accepts is nil when somebody listens there.
func accepts(network, address string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), network, address)
	if err == nil {
		conn.Close()
	}
	return err
}
