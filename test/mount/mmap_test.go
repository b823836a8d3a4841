package mount_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestMmap maps files in a child: shared and writable, shared with another
// descriptor's reads and writes, private, and past a truncation.
func TestMmap(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		a, b := lab.Mount(t, server.URL), lab.Mount(t, server.URL)
		child(t, "map", "shared", filepath.Join(a.Dir, "f"))
		got, err := os.ReadFile(filepath.Join(b.Dir, "f"))
		if err != nil {
			t.Fatal(err)
		}
		if want := mapped(); !bytes.Equal(got, want) {
			t.Errorf("the other mount has %d bytes, different ones; want %d", len(got), len(want))
		}
	})
}

// TestMmapUncached: without a page cache there is nothing that two mappings could share.
func TestMmapUncached(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		mount := lab.Mount(t, server.URL, "cache=none")
		child(t, "map", "refused", filepath.Join(mount.Dir, "f"))
	})
}

// child runs a work to its end.
func child(t *testing.T, name string, args ...string) {
	t.Helper()
	p := lab.Child(t, name, args...)
	if err := p.Wait(2 * time.Minute); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

const mapSize = 3<<20 + 123

// mapped is what the work "map shared" leaves in its file.
func mapped() []byte {
	b := bytes.Repeat([]byte("0123456789abcde\n"), mapSize/16+1)[:mapSize]
	copy(b[1<<20:], "through the mapping")
	copy(b[2<<20:], "through the descriptor")
	return b
}

// mapFile is the child's work: args are what to expect and the file.
func mapFile(args []string) error {
	f, err := os.OpenFile(args[1], os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	content := bytes.Repeat([]byte("0123456789abcde\n"), mapSize/16+1)[:mapSize]
	if _, err := f.Write(content); err != nil {
		return err
	}
	if args[0] == "refused" {
		return mapRefused(f)
	}
	return mapShared(f, content)
}

func mapRefused(f *os.File) error {
	m, err := unix.Mmap(int(f.Fd()), 0, mapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		return fmt.Errorf("a shared writable mapping was made (%d bytes)", len(m))
	}
	m, err = unix.Mmap(int(f.Fd()), 0, mapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("a private mapping: %w", err)
	}
	if string(m[16:20]) != "0123" {
		return fmt.Errorf("the private mapping has %q", m[16:20])
	}
	m[0] = 'X'
	return unix.Munmap(m)
}

func mapShared(f *os.File, content []byte) error {
	m, err := unix.Mmap(int(f.Fd()), 0, mapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	if !bytes.Equal(m, content) {
		return fmt.Errorf("the mapping is not the file")
	}
	copy(m[1<<20:], "through the mapping")
	if _, err := f.WriteAt([]byte("through the descriptor"), 2<<20); err != nil {
		return err
	}
	if got := m[2<<20 : 2<<20+22]; string(got) != "through the descriptor" {
		return fmt.Errorf("the mapping has %q after a write", got)
	}
	buf := make([]byte, 19)
	if _, err := f.ReadAt(buf, 1<<20); err != nil || string(buf) != "through the mapping" {
		return fmt.Errorf("read %q, %w after a store", buf, err)
	}
	if err := unix.Msync(m, unix.MS_SYNC); err != nil {
		return fmt.Errorf("msync: %w", err)
	}
	return unix.Munmap(m)
}
