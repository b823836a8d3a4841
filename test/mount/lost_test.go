package mount_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// unmountLimit is what a kubelet may wait for an unmount, server or not.
const unmountLimit = 5 * time.Second

// TestServerKilled: with reconnectTimeout set, callers of a server that was
// killed get EIO and unmounting does not wait for it.
func TestServerKilled(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		mount := lab.Mount(t, server.URL, "reconnectTimeout=1s")
		reader := busy(t, "read", mount)
		writer := busy(t, "write", mount)
		server.Kill(t)
		for _, p := range []*lab.Process{reader, writer} {
			if err := p.Wait(time.Minute); err != nil {
				t.Errorf("%v\n%s", err, p.Output())
			}
		}
		unmountsInTime(t, mount)
	})
}

// TestServerGoneForGood: callers that wait for a server that is dead, or that
// says nothing any more, can be killed; and ending the mount ends their wait.
func TestServerGoneForGood(t *testing.T) {
	for name, lose := range map[string]func(*lab.Server, *testing.T){
		"killed":  func(s *lab.Server, t *testing.T) { s.Kill(t) },
		"stopped": func(s *lab.Server, t *testing.T) { s.Signal(t, syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			forServers(t, func(t *testing.T, server *lab.Server) {
				t.Parallel() // they mostly wait
				mount := lab.Mount(t, server.URL, "reconnectTimeout=0")
				reader, writer, waits := busy(t, "read", mount), busy(t, "write", mount), busy(t, "rewrite", mount)
				lose(server, t)
				reader.Kill(t)
				writer.Kill(t)
				select {
				case <-waits.Ended():
					t.Errorf("the other writer did not wait: %s", waits.Output())
				default:
				}
				mount.Signal(t, syscall.SIGTERM)
				for _, p := range []*lab.Process{mount.Process, waits} {
					if errors.Is(p.Wait(2*unmountLimit), lab.ErrStillRuns) {
						t.Errorf("SIGTERM to csi-9p mount does not end process %d: %s", p.PID(), p.Output())
					}
				}
			})
		})
	}
}

// TestServerRestarted: callers wait for the server and go on with it.
func TestServerRestarted(t *testing.T) {
	root := lab.Dir(t)
	server := lab.Exporter(t, root)
	mount := lab.Mount(t, server.URL, "reconnectTimeout=0")
	writer := busy(t, "write", mount)
	server.Kill(t)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	lab.ExporterAt(t, "tcp://"+at.Host, root)
	before := len(writer.Output())
	lab.Eventually(t, time.Minute, func() error {
		select {
		case <-writer.Ended():
			t.Fatalf("the writer gave up: %s", writer.Output())
		default:
		}
		if len(writer.Output()) < before+500 {
			return errors.New("the writer does not go on")
		}
		return nil
	})
	writer.Kill(t)
	unmountsInTime(t, mount)
}

// TestDirtyPages: a killed task whose mapped pages wait for a lost server is
// gone after writebackTimeout, whatever reconnectTimeout says.
func TestDirtyPages(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		mount := lab.Mount(t, server.URL, "reconnectTimeout=0", "writebackTimeout=1s")
		task := busy(t, "dirty", mount)
		server.Kill(t)
		task.Kill(t) // fails when it is not gone within 10 s
		unmountsInTime(t, mount)
	})
}

// busy starts a work on a file of the mount and returns once it is at it.
func busy(t *testing.T, work string, mount *lab.Mountpoint) *lab.Process {
	t.Helper()
	p := lab.Child(t, work, filepath.Join(mount.Dir, work))
	lab.Eventually(t, 20*time.Second, func() error {
		if !strings.Contains(p.Output(), "busy") {
			return fmt.Errorf("%s is not at work: %s", work, p.Output())
		}
		return nil
	})
	return p
}

// unmountsInTime unmounts, and wants the mount's process gone.
func unmountsInTime(t *testing.T, mount *lab.Mountpoint) {
	t.Helper()
	start := time.Now()
	mount.Unmount(t)
	if took := time.Since(start); took > unmountLimit {
		t.Errorf("unmounting took %v", took)
	}
}

// readForever is a child's work: it reads a file until that fails, which must be with EIO.
func readForever(args []string) error {
	if err := os.WriteFile(args[0], make([]byte, 1<<20), 0o644); err != nil {
		return err
	}
	return forever(func() error {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.ReadAt(make([]byte, 1<<20), 0)
		return err
	})
}

// writeForever writes and syncs likewise.
func writeForever(args []string) error {
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	data := make([]byte, 64<<10)
	return forever(func() error {
		if _, err := f.WriteAt(data, 0); err != nil {
			return err
		}
		return f.Sync()
	})
}

func forever(work func() error) error {
	for {
		if err := work(); errors.Is(err, unix.EIO) {
			return nil
		} else if err != nil {
			return fmt.Errorf("want EIO: %w", err)
		}
		fmt.Println("busy")
	}
}

// dirtyPages maps a file, keeps its pages dirty and never syncs.
func dirtyPages(args []string) error {
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	const size = 8 << 20
	if err := f.Truncate(size); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for round := 0; ; round++ {
		for i := 0; i < size; i += os.Getpagesize() {
			m[i] = byte(round)
		}
		fmt.Println("busy")
		time.Sleep(10 * time.Millisecond)
	}
}
