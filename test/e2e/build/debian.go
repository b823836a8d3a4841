package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Debian installs the Debian packages of which a file is missing on this machine. It is given the package of each file that
// is relied on.
func (b *Builder) Debian(ctx context.Context, files map[string]string) error {
	var missing []string
	for file, name := range files {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	fmt.Fprintf(b.Output, "build: installing the Debian packages %s\n", strings.Join(missing, " "))
	if err := b.UpdatePackages(ctx); err != nil {
		return fmt.Errorf("the lab needs the Debian packages %s: %w", strings.Join(missing, " "), err)
	}
	return aptGet(ctx, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)...)
}

// UpdatePackages fetches the lists of Debian's packages.
func (b *Builder) UpdatePackages(ctx context.Context) error { return aptGet(ctx, "update", "-qq") }

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
