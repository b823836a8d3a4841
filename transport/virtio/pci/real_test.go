package pci_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// tagVariable names the mount tag of a device that the tests of this file may
// take: they run in the guest lab. The kernel's 9p client has it at first.
const tagVariable = "CSI9P_TEST_VIRTIO"

// ownerVariable has the test binary be another owner of the device.
const ownerVariable = "CSI9P_TEST_VIRTIO_OWNER"

func realTag(t *testing.T) string {
	t.Helper()
	tag := os.Getenv(tagVariable)
	if tag == "" {
		t.Skipf("%s names no device: this runs in the guest lab", tagVariable)
	}
	return tag
}

// realOptions are those of the lab's guests.
func realOptions(t *testing.T) pci.Options {
	t.Helper()
	return pci.Options{LockDir: filepath.Join(os.TempDir(), "csi-9p-locks"), AllowUnsafeDMA: true}
}

func openReal(t *testing.T) *pci.Device {
	t.Helper()
	d, err := pci.Open(t.Context(), realTag(t), realOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// version sends Tversion over a connection of the device, waits for the reply and ends the connection.
func version(t *testing.T, d *pci.Device) {
	t.Helper()
	c, err := virtio.New(d, virtio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	message := append([]byte{0, 0, 0, 0, 100, 0xff, 0xff, 0, 0, 1, 0, 8, 0}, "9P2000.L"...)
	binary.LittleEndian.PutUint32(message, uint32(len(message)))
	replies := make(completions, 1)
	c.Submit(&transport.Call{Tag: transport.NoTag, Head: message, Reply: make([]byte, 0, 64), Done: replies})
	select {
	case call := <-replies:
		if call.Err != nil || len(call.Reply) != len(message) || call.Reply[4] != 101 || string(call.Reply[13:]) != "9P2000.L" {
			t.Errorf("the reply is %q: %v", call.Reply, call.Err)
		}
	case <-time.After(20 * time.Second):
		t.Error("no reply")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-c.Lost()
}

type completions chan *transport.Call

func (c completions) Complete(call *transport.Call) { c <- call }

// function is what is seen of the device.
func function(t *testing.T) pci.Function {
	t.Helper()
	f, err := pci.Find(realTag(t), realOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// inKernelsHands fails the test unless the kernel's client can mount the device.
func inKernelsHands(t *testing.T) {
	t.Helper()
	if f := function(t); f.Driver != "virtio-pci" || f.InUse != nil {
		t.Errorf("bound to %q: %v", f.Driver, f.InUse)
	}
	detach := mountReal(t)
	detach()
}

// mountReal mounts the device with the kernel's client.
func mountReal(t *testing.T) (detach func()) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount(realTag(t), dir, "9p", 0, "trans=virtio,version=9p2000.L"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}
}

func TestDeviceAnswersAndIsGivenBack(t *testing.T) {
	for range 3 {
		version(t, openReal(t))
		inKernelsHands(t)
	}
}

func TestDeviceThatTheKernelHasMounted(t *testing.T) {
	detach := mountReal(t)
	_, err := pci.Open(t.Context(), realTag(t), realOptions(t))
	if !errors.Is(err, pci.ErrInUse) || !strings.Contains(err.Error(), "mounted on") {
		t.Errorf("Open: %v", err)
	}
	detach()
	version(t, openReal(t))
}

// TestDeviceOwner is the other owner of the tests below.
func TestDeviceOwner(t *testing.T) {
	if os.Getenv(ownerVariable) == "" {
		t.Skip("only other tests start it")
	}
	d := openReal(t)
	c, err := virtio.New(d, virtio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = os.Stdout.WriteString("owned\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startOwner starts another owner.
func startOwner(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestDeviceOwner$")
	cmd.Env = append(os.Environ(), ownerVariable+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "owned\n" {
		t.Fatalf("the other owner says %q: %v", line, err)
	}
	return cmd
}

// TestDeviceOfAnOwnerThatWasKilled is refused while the owner lives, whatever lock files it uses, and taken over after.
func TestDeviceOfAnOwnerThatWasKilled(t *testing.T) {
	realTag(t)
	owner := startOwner(t)
	for _, lockDir := range []string{realOptions(t).LockDir, t.TempDir()} {
		o := realOptions(t)
		o.LockDir = lockDir
		if _, err := pci.Open(t.Context(), realTag(t), o); !errors.Is(err, pci.ErrInUse) {
			t.Errorf("with locks in %s: %v", lockDir, err)
		}
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	if f := function(t); f.Driver == "virtio-pci" || f.InUse != nil {
		t.Errorf("after the kill: bound to %q: %v", f.Driver, f.InUse)
	}
	version(t, openReal(t))
	inKernelsHands(t)
}

// TestDeviceWithALimitOnLockedMemory has a process without CAP_IPC_LOCK ask for more than it may lock.
func TestDeviceWithALimitOnLockedMemory(t *testing.T) {
	if function(t).Group == "" {
		t.Skip("without an IOMMU nothing is locked: pages are huge")
	}
	if os.Getenv(ownerVariable) == "" {
		limited(t)
		return
	}
	d := openReal(t)
	defer d.Close()
	b, free, err := d.Alloc(8 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Map(b); err == nil || !strings.Contains(err.Error(), "the limit of locked memory, 1024 KiB: raise it") {
		t.Errorf("Map of 8 MiB: %v", err)
	}
	if _, err := d.Map(b[:512<<10]); err != nil {
		t.Errorf("Map of 512 KiB: %v", err)
	}
	if err := errors.Join(d.Close(), free()); err != nil {
		t.Error(err)
	}
}

// limited runs this test in a process that may lock 1 MiB and has no CAP_IPC_LOCK.
func limited(t *testing.T) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 1 << 20}, &old); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^TestDeviceWithALimitOnLockedMemory$")
	cmd.Env = append(os.Environ(), ownerVariable+"=1")
	var out []byte
	done := make(chan error)
	go func() {
		// What a thread has dropped it does not get back: this one ends with its goroutine.
		runtime.LockOSThread()
		err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_IPC_LOCK, 0, 0, 0)
		if err == nil {
			out, err = cmd.CombinedOutput()
		}
		done <- err
	}()
	err := <-done
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v: %s", err, out)
	}
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &old, nil); err != nil {
		t.Error(err)
	}
	inKernelsHands(t)
}
