package guest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/csi-9p/csi-9p/test/e2e/guest/initramfs"
	"github.com/csi-9p/csi-9p/test/e2e/guest/kernel"
)

// modules are what a guest loads, with what they need.
var modules = []string{
	"virtio_pci", "virtio_console", "virtio_net", // to be spoken to
	"fuse", "vfio-pci", "vfio_iommu_type1", "uio_pci_generic", // what the driver needs
	"9p", "9pnet_virtio", "9pnet_fd", "virtiofs", // what it is compared with
	"vsock_loopback",
}

// parameters are those of modules. QEMU's vIOMMU remaps no interrupts, as the lab has it, and vfio wants to be told that
// this is known.
const parameters = "vfio_iommu_type1 allow_unsafe_interrupts=1\n"

// writeInitramfs writes the file system of a guest that runs kernel k.
func (a *Artifacts) writeInitramfs(path string, k *kernel.Kernel) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := initramfs.NewWriter(f)
	err = errors.Join(w.Device("dev/console", 5, 1), w.File("init", a.Init), addModules(w, k))
	for _, name := range slices.Sorted(maps.Keys(a.Bin)) {
		err = errors.Join(err, w.File("bin/"+name, a.Bin[name]))
	}
	return errors.Join(err, w.Close(), f.Close())
}

// addModules adds the modules under names that sort as they are to be loaded.
func addModules(w *initramfs.Writer, k *kernel.Kernel) error {
	files, err := k.Order(modules...)
	if err != nil {
		return err
	}
	for i, file := range files {
		content, err := readModule(filepath.Join(k.Dir, file))
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(filepath.Base(file), ".ko")
		if err := w.Bytes(fmt.Sprintf("modules/%03d-%s.ko", i, name), 0o644, content); err != nil {
			return err
		}
	}
	return w.Bytes("modules/parameters", 0o644, []byte(parameters))
}

// readModule reads a module, which may be compressed: not every kernel does that itself.
func readModule(path string) ([]byte, error) {
	if filepath.Ext(path) != ".xz" {
		return os.ReadFile(path)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("xz", "-d", "-c", path)
	cmd.Stderr = &stderr
	content, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("xz -d %s: %w: %s", path, err, stderr.String())
	}
	return content, nil
}
