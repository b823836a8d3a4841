package doctor

import (
	"context"
	"io/fs"
	"os"
	"strings"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// Machine is where the checks look. Tests fake it.
type Machine struct {
	Files   fs.FS                      // the root directory
	Release string                     // of the kernel, as uname(2) has it
	FUSE    func() (fuse.Offer, error) // asks the kernel for its FUSE
	IOURing func() error               // why FUSE requests cannot come by io_uring
	VSock   func() (uint32, error)     // the machine's context id
	Virtio  func() ([]pci.Function, error)
	Dial    func(context.Context, dial.URL, dial.Options) (transport.Conn, error)
}

// ThisMachine is the one that the program runs on.
func ThisMachine() *Machine {
	return &Machine{
		Files: os.DirFS("/"), Release: release(), FUSE: fuse.Probe, IOURing: fuse.CheckIOURing, VSock: vsock.ContextID,
		Virtio: func() ([]pci.Function, error) { return pci.List(pci.Options{}) }, Dial: dial.Dial,
	}
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// read returns the trimmed content of a small file, such as one of sysfs.
func (m *Machine) read(path string) (string, error) {
	data, err := fs.ReadFile(m.Files, path)
	return strings.Trim(string(data), " \n\x00"), err
}

func (m *Machine) exists(path string) bool {
	_, err := fs.Stat(m.Files, path)
	return err == nil
}

// glob returns the paths that match, none for a pattern of nothing.
func (m *Machine) glob(pattern string) []string {
	found, _ := fs.Glob(m.Files, pattern) // fails for bad patterns alone
	return found
}
