package pci_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
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

// ownerVariable has the test binary be another process with the device, by one of the functions of others.
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
func realOptions() pci.Options {
	return pci.Options{LockDir: filepath.Join(os.TempDir(), "csi-9p-locks"), AllowUnsafeDMA: true}
}

func openReal(t *testing.T) *pci.Device {
	t.Helper()
	d, err := pci.Open(t.Context(), realTag(t), realOptions())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// version sends Tversion over a connection of the device, waits for the reply and ends the connection.
func version(t *testing.T, d *pci.Device) {
	t.Helper()
	c, err := virtio.New(t.Context(), d, virtio.Options{})
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
	f, err := pci.Find(realTag(t), realOptions())
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
	_, err := pci.Open(t.Context(), realTag(t), realOptions())
	if !errors.Is(err, pci.ErrInUse) || !strings.Contains(err.Error(), "mounted on") {
		t.Errorf("Open: %v", err)
	}
	detach()
	version(t, openReal(t))
}

// TestDeviceTagIsReadByMany: while a device is out of the kernel's hands, all who look at once read its tag, by way of the same registers.
func TestDeviceTagIsReadByMany(t *testing.T) {
	d := openReal(t)
	defer d.Close()
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 20 {
				if f, err := pci.Find(realTag(t), realOptions()); err != nil || f.Address != d.Address {
					t.Errorf("found %+v: %v", f, err)
					return
				}
			}
		})
	}
	readers.Wait()
}

// own is the other owner, which drives the device until it is killed.
func own() error {
	d, err := pci.Open(context.Background(), os.Getenv(tagVariable), realOptions())
	if err != nil {
		return err
	}
	c, err := virtio.New(context.Background(), d, virtio.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = os.Stdout.WriteString("owned\n")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startOwner starts another owner.
func startOwner(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), ownerVariable+"=own")
	cmd.Stderr = os.Stderr
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
	for _, lockDir := range []string{realOptions().LockDir, t.TempDir()} {
		o := realOptions()
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

// lock has the device reach 8 MiB, and says what comes of it.
func lock() error {
	d, err := pci.Open(context.Background(), os.Getenv(tagVariable), realOptions())
	if err != nil {
		return err
	}
	b, free, err := d.Alloc(8 << 20)
	if err == nil {
		_, err = d.Map(b)
		defer func() { _ = free() }()
	}
	return errors.Join(err, d.Close())
}

// TestDeviceWithALimitOnLockedMemory has a process that may lock 1 MiB and has no CAP_IPC_LOCK. Behind an IOMMU
// that is too little, of which it tells; huge pages are not counted.
func TestDeviceWithALimitOnLockedMemory(t *testing.T) {
	want := "<nil>"
	if function(t).Group != "" {
		want = "the limit of locked memory, 1024 KiB: raise it"
	}
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 1 << 20}, &old); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), ownerVariable+"=lock")
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
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("it says %q (%v), want %q", out, err, want)
	}
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &old, nil); err != nil {
		t.Error(err)
	}
	inKernelsHands(t)
}
