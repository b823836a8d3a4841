package pci

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
)

// uio is a function that uio_pci_generic lends.
type uio struct {
	config     *os.File
	resources  string // the directory of the BARs' files
	pages      hugePages
	isr        registers
	interrupts *waiter // /dev/uioN
}

// openUIO opens a function that is bound to uio_pci_generic.
func openUIO(t tree, f Function, pages hugePages) (*uio, error) {
	u := &uio{resources: t.function(f.Address), pages: pages}
	if err := u.open(t, f); err != nil {
		u.close()
		return nil, err
	}
	return u, nil
}

func (u *uio) open(t tree, f Function) error {
	names, err := filepath.Glob(t.function(f.Address, "uio", "uio*"))
	if err != nil || len(names) == 0 {
		return errors.New("the kernel has made no uio device of it: its log says why")
	}
	path := t.path("dev", filepath.Base(names[0]))
	// Non-blocking, so that Go's poller waits for its interrupts.
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: a container needs the host's /dev", err)
		}
		return err
	}
	u.interrupts = &waiter{file: file}
	// uio has no notion of one owner: this keeps out those who use other lock files.
	if err := unix.Flock(descriptor(file), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%w: another process has %s: stop it first", ErrInUse, path)
		}
		return fmt.Errorf("locking %s: %w", path, err)
	}
	u.config, err = t.openConfig(f.Address)
	return readOnly(err)
}

// ReadAt reads config space.
func (u *uio) ReadAt(p []byte, at int64) (int, error) { return u.config.ReadAt(p, at) }

// WriteAt writes config space.
func (u *uio) WriteAt(p []byte, at int64) (int, error) { return u.config.WriteAt(p, at) }

// mmap maps whole pages of a BAR.
func (u *uio) mmap(number int, offset int64, length int) ([]byte, error) {
	f, err := os.OpenFile(filepath.Join(u.resources, fmt.Sprintf("resource%d", number)), os.O_RDWR|unix.O_CLOEXEC|unix.O_SYNC, 0)
	if err != nil {
		return nil, readOnly(err)
	}
	defer f.Close()
	b, err := unix.Mmap(descriptor(f), offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w: a locked down kernel (Secure Boot) lends devices through vfio only", err)
	}
	return b, err
}

// listen lets the INTx line through. Its one interrupt is for all causes, which
// the ISR status tells apart.
func (u *uio) listen(_ int, isr registers) error {
	u.isr = isr
	return u.unmask()
}

// unmask lets the INTx line through: uio_pci_generic masks it when it raises an
// interrupt (irqhandler in drivers/uio/uio_pci_generic.c).
func (u *uio) unmask() error { return updateCommand(u, 0, commandINTxOff) }

// vectors returns that there are none: what MSI-X calls no vector.
func (u *uio) vectors() (queue, change uint16) { return noVector, noVector }

func (u *uio) wait() (changed bool, err error) {
	var count [4]byte
	fired, err := u.interrupts.wait(count[:])
	if err != nil {
		return false, err
	}
	if !fired {
		return false, nil
	}
	// Reading it clears it and lowers the line (4.1.4.5); only then does it help to unmask.
	const configuration = 2
	cause := u.isr.load8(0)
	return cause&configuration != 0, u.unmask()
}

func (u *uio) wake() { u.interrupts.wake() }

// Map implements transport.Reach.
func (u *uio) Map(b []byte) ([]transport.Extent, error) { return u.pages.locate(b) }

// close lets go of the function. When nobody has /dev/uioN open any more, the
// kernel takes the device's bus mastership (release in uio_pci_generic.c).
func (u *uio) close() {
	u.pages.close()
	if u.interrupts != nil {
		u.interrupts.file.Close()
	}
	if u.config != nil {
		u.config.Close()
	}
}

// entrySize is the size in bytes of an entry of pagemap, one for each small page.
const entrySize = 8

// physical returns the physical address of a page (Documentation/admin-guide/mm/pagemap.rst).
func physical(pagemap *os.File, address uint64) (uint64, error) {
	page := uint64(os.Getpagesize())
	var p [entrySize]byte
	if _, err := pagemap.ReadAt(p[:], int64(address/page*entrySize)); err != nil {
		return 0, fmt.Errorf("physical addresses: %w", err)
	}
	const present, frame = 1 << 63, 1<<55 - 1
	entry := binary.NativeEndian.Uint64(p[:])
	if entry&present == 0 {
		return 0, fmt.Errorf("a page of the device's memory is missing: %w", errNoHugePages)
	}
	if entry&frame == 0 {
		return 0, errors.New("the kernel hides physical addresses: whoever opens /proc/self/pagemap needs CAP_SYS_ADMIN")
	}
	return entry & frame * page, nil
}
