package guest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/guest/qemu"
)

// accelerator finds out whether KVM boots a guest: that /dev/kvm is there says little, on machines that are guests
// themselves. The answer holds until this machine boots again.
func (l *Lab) accelerator(ctx context.Context) (qemu.Accelerator, error) {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return qemu.TCG, nil
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.Cache, "guest-accelerator")
	known, _ := os.ReadFile(path)
	if found, ok := bytes.CutPrefix(known, id); ok {
		return qemu.Accelerator(found), nil
	}
	const patience = 30 * time.Second // ten times what it takes
	l.Report.Progress("guest: trying whether KVM boots a kernel, for %s at most", patience)
	found := qemu.KVM
	m, err := l.boot(ctx, "kvm", l.Kernels[0], qemu.Config{Accelerator: qemu.KVM}, patience)
	if err == nil {
		err = m.end()
	}
	if err != nil {
		found = qemu.TCG
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return found, os.WriteFile(path, append(id, found...), 0o644)
}
