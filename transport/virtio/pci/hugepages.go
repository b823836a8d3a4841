package pci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
)

// hugePage is the size in bytes of the pages that memory for a device is made of.
const hugePage = 2 << 20

// errNoHugePages says that the system's, or the pod's, pages are used up.
var errNoHugePages = errors.New("there are not enough free 2 MiB pages: raise /proc/sys/vm/nr_hugepages on the node, and the pod's limit hugepages-2Mi")

// hugePages is where 2 MiB pages come from: named files of a hugetlbfs. A file
// outlives the process that made it, and so do its pages: while a device that
// nobody has reset may still write to them, they are nobody else's.
type hugePages struct {
	dir     string
	prefix  string   // of the names of a device's files
	pagemap *os.File // of this process; nil without huge pages
}

// openHugePages finds the hugetlbfs, or takes the one given, and opens pagemap.
func openHugePages(t tree, address string, o Options) (hugePages, error) {
	h := hugePages{dir: o.HugePages, prefix: "csi-9p-" + address + "-"}
	mounts, err := t.mounts("self", OtherThanHugePages)
	if err != nil {
		return h, fmt.Errorf("looking for a hugetlbfs: %w", err)
	}
	if h.dir == "" && len(mounts) > 0 {
		h.dir = mounts[0].Mountpoint
	}
	if !slices.ContainsFunc(mounts, func(m *mountinfo.Info) bool { return m.Mountpoint == h.dir }) {
		return h, fmt.Errorf("no hugetlbfs with pages of 2 MiB is mounted%s: mount -t hugetlbfs -o pagesize=2M none /dev/hugepages; "+
			"a pod takes an emptyDir of medium HugePages-2Mi", where(h.dir))
	}
	if h.pagemap, err = os.Open("/proc/self/pagemap"); err != nil {
		return h, fmt.Errorf("physical addresses: %w", err)
	}
	return h, nil
}

// OtherThanHugePages is a mountinfo.FilterFunc that leaves hugetlbfs mounts with pages of 2 MiB.
func OtherThanHugePages(m *mountinfo.Info) (skip, stop bool) {
	return m.FSType != "hugetlbfs" || !slices.Contains(strings.Split(m.VFSOptions, ","), "pagesize=2M"), false
}

// close ends the looking up of addresses. Pages in use stay.
func (h hugePages) close() {
	if h.pagemap != nil {
		h.pagemap.Close()
	}
}

func where(dir string) string {
	if dir == "" {
		return ""
	}
	return " on " + dir
}

// dropLeftovers frees the pages that owners left who are no more. The device has
// been reset: it writes to them no longer.
func (h hugePages) dropLeftovers() error {
	names, err := filepath.Glob(filepath.Join(h.dir, h.prefix+"*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := dropLeftover(name); err != nil {
			return fmt.Errorf("freeing pages that an earlier owner left: %w", err)
		}
	}
	return nil
}

// dropLeftover removes a file that nobody holds.
func dropLeftover(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(descriptor(f), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	return os.Remove(name)
}

// alloc returns zeroed memory of n bytes, in pages of its own. Its file is
// locked for as long as the pages are in use.
func (h hugePages) alloc(n int) ([]byte, func() error, error) {
	f, err := os.CreateTemp(h.dir, h.prefix)
	if err != nil {
		return nil, nil, fmt.Errorf("2 MiB pages: %w", err)
	}
	length := roundUp(n, hugePage)
	b, err := mmap(f, length)
	free := func() error {
		defer f.Close()
		if b != nil {
			err = unix.Munmap(b)
		}
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%d MiB in 2 MiB pages: %w", length>>20, free())
	}
	return b[:n:n], free, nil
}

// mmap gives a file all of its pages and maps it. Pages that are missing, or that
// a cgroup's limit keeps out, would be a SIGBUS when they are touched; fallocate(2)
// tells of either.
func mmap(f *os.File, length int) ([]byte, error) {
	if err := unix.Flock(descriptor(f), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, err
	}
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) { // it looks for signals at each page, such as those of Go's scheduler, and keeps what it has done
		err = unix.Fallocate(descriptor(f), 0, 0, int64(length))
	}
	var b []byte
	if err == nil {
		b, err = unix.Mmap(descriptor(f), 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	}
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOSPC) {
		err = errNoHugePages
	}
	return b, err
}

// locate returns the physical addresses of memory that alloc has returned, this
// one's or another's.
func (h hugePages) locate(b []byte) ([]transport.Extent, error) {
	if err := inHugePages(b); err != nil {
		return nil, err
	}
	var all []transport.Extent
	for at := 0; at < len(b); at += hugePage {
		addr, err := physical(h.pagemap, addressOf(b)+uint64(at))
		if err != nil {
			return nil, err
		}
		n := min(hugePage, len(b)-at)
		if last := len(all) - 1; last >= 0 && all[last].Addr+uint64(all[last].Len) == addr {
			all[last].Len += n
			continue
		}
		all = append(all, transport.Extent{Addr: addr, Len: n})
	}
	return all, nil
}

// inHugePages makes sure that memory is of a file that alloc made: only such
// pages are contiguous and stay where they are.
func inHugePages(b []byte) error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	first, last := addressOf(b), addressOf(b)+uint64(len(b))
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil || first < from || last > to {
			continue
		}
		if strings.Contains(line, "/csi-9p-") {
			return nil
		}
	}
	return errors.New("the memory is not of 2 MiB pages, which a device without an IOMMU needs: it is of a device that had one")
}
