package pci_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// machine is a file tree that looks like a kernel's /sys, /proc and /dev, with a
// kernel that binds and unbinds drivers when it is told to.
type machine struct {
	t       *testing.T
	root    string
	drivers map[string]string // of each function: "" is none
	written []string          // attribute and value, in order
	refuse  string            // a driver that takes no device
	stuck   bool              // the devices do not reset
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, root: t.TempDir(), drivers: map[string]string{}}
	for _, driver := range []string{"virtio-pci", "vfio-pci", "uio_pci_generic"} {
		m.file("", "sys/bus/pci/drivers", driver, "unbind")
	}
	m.file("", "sys/bus/pci/drivers_probe")
	m.mounts("self")
	return m
}

// options has its devices looked at and taken.
func (m *machine) options() pci.Options {
	return pci.Options{LockDir: filepath.Join(m.root, "run"), ResetTimeout: 50 * time.Millisecond}.In(m.root, m.kernel, m.reset)
}

func (m *machine) path(elem ...string) string {
	return filepath.Join(append([]string{m.root}, elem...)...)
}

// file makes a file.
func (m *machine) file(content string, elem ...string) {
	m.t.Helper()
	path := m.path(elem...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// mounts makes a process's mountinfo of lines and a mount for hugetlbfs.
func (m *machine) mounts(process string, lines ...string) {
	m.file(strings.Join(lines, "\n"), "proc", process, "mountinfo")
}

// device adds a virtio-9p function that virtio-pci has.
func (m *machine) device(address, tag string) {
	m.t.Helper()
	at := "sys/bus/pci/devices/" + address
	m.file("0x1af4\n", at, "vendor")
	m.file("0x1049\n", at, "device")
	m.file("(null)\n", at, "driver_override")
	m.file(string(newSpace()), at, "config")
	m.file(strings.Repeat("0x0 0x0 0x0\n", 4)+fmt.Sprintf("0xfe000000 %#x 0x200\n", 0xfe000000+spaceBARSize-1)+"0x0 0x0 0x0\n", at, "resource")
	m.file(string(make([]byte, spaceBARSize)), at, "resource4")
	m.file(tag+"\x00", at, "virtio0/mount_tag")
	m.bind(address, "virtio-pci")
}

// bind has a driver take a function.
func (m *machine) bind(address, driver string) {
	m.t.Helper()
	at := m.path("sys/bus/pci/devices", address, "driver")
	_ = os.Remove(at)
	m.drivers[address] = driver
	if driver == "" {
		return
	}
	if err := os.Symlink("../../../bus/pci/drivers/"+driver, at); err != nil {
		m.t.Fatal(err)
	}
	if driver == "uio_pci_generic" {
		m.file("", "sys/bus/pci/devices", address, "uio/uio0/name")
		if err := os.MkdirAll(m.path("dev"), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if err := syscall.Mkfifo(m.path("dev/uio0"), 0o600); err != nil && !os.IsExist(err) {
			m.t.Fatal(err)
		}
	}
}

// kernel does what a kernel does when an attribute is written.
func (m *machine) kernel(path, value string) {
	path = strings.TrimPrefix(path, m.root+"/")
	m.written = append(m.written, strings.TrimPrefix(path, "sys/bus/pci/")+" "+strings.TrimSpace(value))
	switch dir, name := filepath.Split(path); name {
	case "driver_override":
		m.file(strings.TrimSpace(value), path)
	case "unbind":
		if m.drivers[value] != filepath.Base(dir) {
			m.t.Errorf("%s is unbound from %s, but bound to %s", value, filepath.Base(dir), m.drivers[value])
		}
		m.bind(value, "")
	case "drivers_probe":
		if driver := m.chosen(value); driver != m.refuse && m.drivers[value] == "" {
			m.bind(value, driver)
		}
	}
}

// chosen is the driver that the override demands, or the one that knows the device.
func (m *machine) chosen(address string) string {
	if override := m.override(address); override != "" {
		return override
	}
	return "virtio-pci"
}

func (m *machine) override(address string) string {
	m.t.Helper()
	b, err := os.ReadFile(m.path("sys/bus/pci/devices", address, "driver_override"))
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(b)), "(null)")
}

// hugePages mounts a hugetlbfs with pages of a size, and returns where.
func (m *machine) hugePages(size string) string {
	m.t.Helper()
	dir := m.t.TempDir()
	m.mounts("self", "30 1 0:30 / "+dir+" rw - hugetlbfs none rw,pagesize="+size)
	return dir
}

// reset has a device answer the wish to reset it.
func (m *machine) reset(address string) {
	m.t.Helper()
	if !m.stuck {
		return
	}
	f, err := os.OpenFile(m.path("sys/bus/pci/devices", address, "resource4"), os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xf}, commonAt+deviceStatus); err != nil {
		m.t.Fatal(err)
	}
}

// register reads a byte of a device's BAR.
func (m *machine) register(address string, at int64) byte {
	m.t.Helper()
	b, err := os.ReadFile(m.path("sys/bus/pci/devices", address, "resource4"))
	if err != nil {
		m.t.Fatal(err)
	}
	return b[at]
}

// untouched fails the test unless a function is as it was when it was added.
func (m *machine) untouched(address string) {
	m.t.Helper()
	if driver, override := m.drivers[address], m.override(address); driver != "virtio-pci" || override != "" {
		m.t.Errorf("%s is bound to %q, override %q", address, driver, override)
	}
}

// wrote fails the test unless what was written begins with these.
func (m *machine) wrote(want ...string) {
	m.t.Helper()
	if len(m.written) < len(want) || !slices.Equal(m.written[:len(want)], want) {
		m.t.Errorf("written: %q, want %q first", m.written, want)
	}
}
