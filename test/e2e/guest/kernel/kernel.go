// Package kernel fetches Debian's kernels without installing them.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/csi-9p/csi-9p/test/e2e/build"
)

// Kernel is one that can be booted.
type Kernel struct {
	Release string // "6.1.0-56-amd64"
	Image   string // path of vmlinuz
	Dir     string // of its modules
	*Modules
}

// Series is its version in two numbers, "6.1".
func (k *Kernel) Series() string {
	parts := strings.SplitN(k.Release, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// stable is the package that depends on the kernel of a Debian release.
const stable = "linux-image-amd64"

// newer are the packages that depend on a newer kernel for the same release: "linux-image-6.12-amd64".
var newer = regexp.MustCompile(`^linux-image-(\d+)\.(\d+)-amd64$`)

// Fetch downloads the kernel of this machine's Debian release, and the newest of the others that the release has, if
// there are any.
func Fetch(ctx context.Context, b *build.Builder) ([]*Kernel, error) {
	kernels, err := fetchAll(ctx, b)
	if err != nil { // the package lists are missing, or so old that their packages are gone
		if err = b.UpdatePackages(ctx); err == nil {
			kernels, err = fetchAll(ctx, b)
		}
	}
	return kernels, err
}

func fetchAll(ctx context.Context, b *build.Builder) ([]*Kernel, error) {
	var kernels []*Kernel
	others, err := others(ctx)
	if err != nil {
		return nil, err
	}
	for _, meta := range append([]string{stable}, others...) {
		name, err := dependency(ctx, meta)
		if err != nil {
			return nil, err
		}
		k, err := fetch(ctx, b, meta, name)
		if err != nil {
			return nil, err
		}
		kernels = append(kernels, k)
	}
	return kernels, nil
}

// others returns the package of the newest other kernel, if there is one.
func others(ctx context.Context) ([]string, error) {
	out, err := apt(ctx, "pkgnames", "linux-image-")
	if err != nil {
		return nil, err
	}
	var found [][]string
	for name := range strings.Lines(out) {
		if m := newer.FindStringSubmatch(strings.TrimSpace(name)); m != nil {
			found = append(found, m)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	newest := slices.MaxFunc(found, func(a, b []string) int { return version(a) - version(b) })
	return newest[:1], nil
}

// version is a number by which versions of newer are ordered.
func version(m []string) int {
	major, _ := strconv.Atoi(m[1]) // digits, as newer has it
	minor, _ := strconv.Atoi(m[2])
	return major<<16 + minor
}

// dependency is the kernel's package that a meta-package depends on.
func dependency(ctx context.Context, meta string) (string, error) {
	out, err := apt(ctx, "depends", "--important", meta)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: linux-image-"); ok {
			return "linux-image-" + name, nil
		}
	}
	return "", fmt.Errorf("apt knows no kernel that %s depends on: the lab needs Debian's repositories", meta)
}

func apt(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", args...).Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// fetch unpacks a kernel's package and has depmod look at its modules.
func fetch(ctx context.Context, b *build.Builder, meta, name string) (*Kernel, error) {
	release := strings.TrimPrefix(name, "linux-image-")
	dir, err := b.Unpack(ctx, meta, name, func(dir string) error {
		out, err := exec.CommandContext(ctx, "/usr/sbin/depmod", "-b", dir, release).CombinedOutput()
		if err != nil {
			return fmt.Errorf("depmod: %w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	k := &Kernel{Release: release, Image: filepath.Join(dir, "boot/vmlinuz-"+release), Dir: filepath.Join(dir, "lib/modules", release)}
	if k.Modules, err = loadModules(k.Dir); err != nil {
		return nil, errors.Join(fmt.Errorf("the modules of %s", name), err)
	}
	return k, nil
}
