package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Unpack downloads a Debian package, unless the cache has it, and returns the directory that it is unpacked into. It is not
// installed. The cache keeps it under the name as, which later versions share. finish may add to the directory, once.
func (b *Builder) Unpack(ctx context.Context, as, name string, finish func(dir string) error) (string, error) {
	version, err := exec.CommandContext(ctx, "apt-cache", "show", "--no-all-versions", name).Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache show %s: %w", name, err)
	}
	return b.once("packages", as, keyOf(version), func(dir string) error {
		download, err := os.MkdirTemp("", "csi-9p-lab-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(download)
		get := exec.CommandContext(ctx, "apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", name)
		get.Dir = download
		if out, err := get.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get download %s: %w\n%s", name, err, out)
		}
		packages, err := filepath.Glob(filepath.Join(download, "*.deb"))
		if err != nil || len(packages) != 1 {
			return errors.Join(fmt.Errorf("apt-get download %s left %d packages", name, len(packages)), err)
		}
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", packages[0], dir).CombinedOutput(); err != nil {
			return fmt.Errorf("dpkg-deb: %w\n%s", err, out)
		}
		return finish(dir)
	})
}
