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

// debian names the Debian package of each file of the machine that the lab relies on.
var debian = map[string]string{
	"/bin/busybox":           "busybox-static",
	"/usr/bin/gcc":           "gcc",
	"/usr/bin/openssl":       "openssl",
	"/usr/bin/pkg-config":    "pkg-config",
	"/usr/include/seccomp.h": "libseccomp-dev",
	"/usr/include/stdlib.h":  "libc6-dev",
	"/usr/sbin/nft":          "nftables",
}

// Debian installs the Debian packages that are missing on this machine.
func (b *Builder) Debian(ctx context.Context) error {
	var missing []string
	for file, name := range debian {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	fmt.Fprintf(b.Output, "build: installing the Debian packages %s\n", strings.Join(missing, " "))
	install := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)
	for _, args := range [][]string{{"update", "-qq"}, install} {
		args = append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("the lab needs the Debian packages %s: apt-get %s: %w\n%s", strings.Join(missing, " "), args[2], err, out)
		}
	}
	return nil
}
