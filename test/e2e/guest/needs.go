// Package guest runs the driver in virtual machines with a real virtio-9p device: it makes their kernels and programs, boots
// them, has them run steps, and tells of each.
package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/csi-9p/csi-9p/test/e2e/build"
	"github.com/csi-9p/csi-9p/test/e2e/guest/kernel"
)

// debian names the Debian package of each file of this machine that the lab relies on.
var debian = map[string]string{
	"/bin/busybox":                "busybox-static",
	"/usr/bin/qemu-system-x86_64": "qemu-system-x86",
	"/usr/bin/xz":                 "xz-utils",
	"/usr/lib/qemu/virtiofsd":     "qemu-system-common",
	"/usr/sbin/depmod":            "kmod",
	"/usr/share/seabios/bios.bin": "seabios",
}

// inside is the program inside the guest.
var inside = build.Program{Name: "inside", Packages: []string{"./guest/inside"}, Flags: "-s -w"}

// tests are the packages whose tests run in the guest too, by the name of their program there.
var tests = map[string]string{
	"dial.test":   "./transport/dial",
	"mount.test":  "./test/mount",
	"pci.test":    "./transport/virtio/pci",
	"virtio.test": "./test/virtio",
}

// Artifacts are what guests are made of.
type Artifacts struct {
	Kernels []*kernel.Kernel
	Init    string
	Bin     map[string]string // the path of each program of the guest's /bin, by its name there
}

// Prepare installs, downloads and builds what guests are made of.
func Prepare(ctx context.Context, b *build.Builder) (*Artifacts, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("the guest lab has kernels for amd64, not for %s", runtime.GOARCH)
	}
	if err := b.Debian(ctx, debian); err != nil {
		return nil, err
	}
	a := &Artifacts{Bin: map[string]string{"busybox": "/bin/busybox"}}
	var err error
	if a.Kernels, err = kernel.Fetch(ctx, b); err != nil {
		return nil, err
	}
	dir, err := b.Build(ctx, inside)
	if err != nil {
		return nil, err
	}
	a.Init = filepath.Join(dir, "inside")
	if dir, err = b.Build(ctx, build.DriverProgram); err != nil {
		return nil, err
	}
	a.Bin["csi-9p"] = filepath.Join(dir, "csi-9p")
	return a, errors.Join(a.buildTests(ctx, b))
}

// buildTests builds the tests that run in the guest. The Go command's own cache knows whether that is to be done again.
func (a *Artifacts) buildTests(ctx context.Context, b *build.Builder) error {
	dir := filepath.Join(b.Cache, "guest-tests")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, pkg := range tests {
		path := filepath.Join(dir, name)
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-ldflags", "-s -w", "-o", path, pkg)
		cmd.Dir = filepath.Join(b.Module, "../..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building the tests of %s: %w\n%s", pkg, err, out)
		}
		a.Bin[name] = path
	}
	return nil
}
