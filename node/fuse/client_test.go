package fuse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// client prepares this binary to run one of the roles of runClient, as a process whose system calls cannot hold up the test.
func client(t testing.TB, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), clientEnv+"="+role)
	return cmd
}

func runClient(role string, args []string) error {
	switch role {
	case "read":
		return readAll(args[0])
	case "pread":
		return preadMany(args[0], args[1], args[2], args[3])
	case "stat":
		return statMany(args[0], args[1])
	case "abort":
		return abort(args[0])
	case "serve":
		return serveAndHang()
	case "map":
		return mapAndChange(args[0])
	}
	return fmt.Errorf("no role %q", role)
}

// readAll copies a file to the standard output. Its error is the errno's name.
func readAll(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return errnoName(err)
	}
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return errnoName(err)
		}
		if n == 0 {
			return nil
		}
		if _, err := os.Stdout.Write(buf[:n]); err != nil {
			return err
		}
	}
}

func errnoName(err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	return errors.New(unix.ErrnoName(errno))
}

// serveAndHang serves the device inherited as descriptor 3 with the state in 4, answers no READ, tells of each on the standard
// output, and goes on until it is killed.
func serveAndHang() error {
	mem, err := unix.Mmap(4, 0, fuse.InitRecordSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	fs := &memFS{slots: new(slotPool), open: fuse.OpenDirectIO}
	fs.add("data", nil).size = 64 << 10
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpRead {
			return false
		}
		fmt.Println(r.Unique())
		return true
	})
	conn, err := fuse.Serve(context.Background(), os.NewFile(3, "fuse"), fuse.Config{Handler: fs, Buffers: fs.slots, State: mem})
	if err != nil {
		return err
	}
	return conn.Wait()
}

// mapAndChange maps a file, checks that it is all 'a', and makes it all 'b' through the mapping.
func mapAndChange(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	mem, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	if n := bytes.Count(mem, []byte("a")); n != len(mem) {
		return fmt.Errorf("%d of %d bytes are as expected", n, len(mem))
	}
	for i := range mem {
		mem[i] = 'b'
	}
	return unix.Msync(mem, unix.MS_SYNC)
}

// abort aborts a connection through fusectl, which it mounts first unless the host has. One that does not exist is no error.
func abort(id string) error {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return err
	}
	if err := unix.Mount("fusectl", "/sys/fs/fuse/connections", "fusectl", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount fusectl: %w", err)
	}
	if err := fuse.Abort(uint32(n)); err != nil {
		return err
	}
	return fuse.Abort(1 << 19)
}

// preadMany reads size bytes count times by direct I/O, so many at a time.
func preadMany(path, size, threads, count string) error {
	n, err1 := strconv.Atoi(size)
	parallel, err2 := strconv.Atoi(threads)
	times, err3 := strconv.Atoi(count)
	fd, err4 := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT, 0)
	mem, err5 := unix.Mmap(-1, 0, n*parallel, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	var next atomic.Int64
	var group errgroup.Group
	for i := range parallel {
		group.Go(func() error {
			for j := next.Add(1); j <= int64(times); j = next.Add(1) {
				if got, err := unix.Pread(fd, mem[i*n:][:n], j*7919%256*int64(n)); got != n || err != nil {
					return fmt.Errorf("pread: %d, %w", got, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// statMany asks for a file's attributes count times.
func statMany(path, count string) error {
	times, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	for range times {
		if err := unix.Stat(path, &st); err != nil {
			return err
		}
	}
	return nil
}
