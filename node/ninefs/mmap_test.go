package ninefs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

// mapAndWrite changes a file through a shared mapping, sees what write(2) does to it, and writes it back. Arguments: the file.
func mapAndWrite(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(mem)
	for i := 0; i < len(mem); i += 1000 {
		if mem[i] != byte(i/1000) {
			return fmt.Errorf("byte %d is %d, want %d", i, mem[i], byte(i/1000))
		}
		mem[i] ^= 0xff
	}
	if _, err := f.WriteAt([]byte("by write(2)"), 5001); err != nil {
		return err
	}
	if !bytes.HasPrefix(mem[5001:], []byte("by write(2)")) {
		return fmt.Errorf("the mapping does not show what was written: %q", mem[5001:5012])
	}
	return unix.Msync(mem, unix.MS_SYNC)
}

func TestSharedMapping(t *testing.T) {
	for _, mode := range []ninefs.CacheMode{ninefs.CloseToOpen, ninefs.Loose} {
		sharedMapping(t, mode)
	}
}

func sharedMapping(t *testing.T, mode ninefs.CacheMode) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, func(o *ninefs.Options) { o.Cache = mode })
		data := make([]byte, 3<<20+123)
		for i := 0; i < len(data); i += 1000 {
			data[i] = byte(i / 1000)
		}
		check(t, os.WriteFile(m.path("f"), data, 0o600))
		check(t, lab.Child(t, "map and write", m.path("f")).Wait(30*time.Second))
		for i := 0; i < len(data); i += 1000 {
			data[i] ^= 0xff
		}
		copy(data[5001:], "by write(2)")
		for _, path := range []string{m.path("f"), filepath.Join(s.root, "f")} {
			got, err := os.ReadFile(path)
			check(t, err)
			if !bytes.Equal(got, data) {
				t.Errorf("%s does not hold what was written through the mapping", path)
			}
		}
	})
}

// mapUnlinked writes through a mapping of a file whose name and descriptor are gone. Arguments: the file.
func mapUnlinked(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := f.Truncate(1 << 20); err != nil {
		return err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(mem)
	if err := os.Remove(args[0]); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for i := range mem {
		mem[i] = byte(i % 251)
	}
	if err := unix.Msync(mem, unix.MS_SYNC); err != nil {
		return err
	}
	if err := unix.Madvise(mem, unix.MADV_DONTNEED); err != nil {
		return err
	}
	for i := range mem {
		if mem[i] != byte(i%251) {
			return fmt.Errorf("byte %d is %d", i, mem[i])
		}
	}
	return nil
}

func TestMappingOfUnlinkedFile(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, loose)
		check(t, lab.Child(t, "map an unlinked file", m.path("f")).Wait(30*time.Second))
	})
}
