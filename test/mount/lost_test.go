package mount_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
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
	if lab.IOURing(t) != fuse.IOURingOff {
		t.Skip("with io_uring the kernel (6.18) forgets a signal that comes before the process has got the request: docs/limitations.md")
	}
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

// TestServerRestarted: callers wait for the server and go on with it, and what
// was in flight is done once: no call fails, no record is lost.
func TestServerRestarted(t *testing.T) {
	root := lab.Dir(t)
	server := lab.Exporter(t, root)
	at, err := url.Parse(server.URL)
	must(t, err)
	mount := lab.Mount(t, server.URL, "reconnectTimeout=0")
	dir := filepath.Join(mount.Dir, "ledger")
	must(t, os.Mkdir(dir, 0o755))
	ledger := lab.Child(t, "ledger", dir)
	for range 5 {
		before := len(ledger.Output())
		lab.Eventually(t, time.Minute, func() error {
			select {
			case <-ledger.Ended():
				t.Fatal("the ledger's keeper gave up")
			default:
			}
			if len(ledger.Output()) < before+500 {
				return errors.New("the ledger's keeper does not go on")
			}
			return nil
		})
		server.Kill(t)
		server = lab.ExporterAt(t, "tcp://"+at.Host, root)
	}
	ledger.Kill(t)
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

// TestWriteBackToLostServer: what the kernel kept of a server that is gone is given up after writebackTimeout, whatever
// reconnectTimeout says. Who syncs the file or closes it learns that, and who was killed is gone.
func TestWriteBackToLostServer(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		mount := lab.Mount(t, server.URL, "cache=loose", "reconnectTimeout=0", "writebackTimeout=1s")
		told := make(map[string]*lab.Process)
		for _, end := range []string{"sync", "close"} {
			told[end] = lab.Child(t, "unsynced", mount.Dir+"/"+end, end, strconv.Itoa(server.PID()))
			isBusy(t, told[end])
		}
		killed := lab.Child(t, "unsynced", mount.Dir+"/killed", "sync", strconv.Itoa(os.Getpid()))
		isBusy(t, killed)
		server.Kill(t)
		killed.Kill(t) // fails when it is not gone within 10 s
		for end, p := range told {
			if err := p.Wait(30 * time.Second); err != nil {
				t.Errorf("%s: %v\n%s", end, err, p.Output())
			}
		}
		unmountsInTime(t, mount)
	})
}

// unsynced is a child's work: it writes a file and waits for the end of a process before it syncs or closes it, which must fail with
// EIO. Arguments: the file, "sync" or "close", and the process.
func unsynced(args []string) error {
	pid, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	if _, err := f.Write(make([]byte, 100_000)); err != nil {
		return err
	}
	fmt.Println("busy")
	for unix.Kill(pid, 0) == nil {
		time.Sleep(10 * time.Millisecond)
	}
	end := f.Close
	if args[1] == "sync" {
		defer f.Close()
		end = f.Sync
	}
	if err := end(); !errors.Is(err, unix.EIO) {
		return fmt.Errorf("%s: %w, want EIO", args[1], err)
	}
	return nil
}

// busy starts a work on a file of the mount and returns once it is at it.
func busy(t *testing.T, work string, mount *lab.Mountpoint) *lab.Process {
	t.Helper()
	p := lab.Child(t, work, filepath.Join(mount.Dir, work))
	isBusy(t, p)
	return p
}

// isBusy waits until a process is at work.
func isBusy(t *testing.T, p *lab.Process) {
	t.Helper()
	lab.Eventually(t, 20*time.Second, func() error {
		if !strings.Contains(p.Output(), "busy") {
			return fmt.Errorf("process %d is not at work: %s", p.PID(), p.Output())
		}
		return nil
	})
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

// keepLedger is a child's work: records in a file, and with each the
// operations that cannot be done twice, until one fails.
func keepLedger(args []string) error {
	f, err := os.Create(filepath.Join(args[0], "ledger"))
	if err != nil {
		return err
	}
	defer f.Close()
	for n := int64(0); ; n++ {
		if err := errors.Join(record(f, n), onlyOnce(args[0], n)); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		fmt.Println("busy")
	}
}

// record writes record n, and reads one of those before it.
func record(f *os.File, n int64) error {
	const size = 1000
	content := func(n int64) string { return fmt.Sprintf("%0*d", size, n) }
	if _, err := f.WriteAt([]byte(content(n)), n*size); err != nil {
		return err
	}
	earlier, buf := n*7919%(n+1), make([]byte, size)
	if _, err := f.ReadAt(buf, earlier*size); err != nil {
		return err
	}
	if string(buf) != content(earlier) {
		return fmt.Errorf("record %d reads %.20q", earlier, strings.TrimLeft(string(buf), "0"))
	}
	return f.Sync()
}

func onlyOnce(dir string, n int64) error {
	path := func(name string) string { return filepath.Join(dir, fmt.Sprint(name, n)) }
	f, err := os.OpenFile(path("new"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(
		f.Close(),
		os.Mkdir(path("d"), 0o755),
		os.Rename(path("new"), path("d")+"/moved"),
		os.Link(path("d")+"/moved", path("link")),
		os.Symlink("anywhere", path("symlink")),
		os.Remove(path("d")+"/moved"),
		os.Remove(path("d")),
		os.Remove(path("link")),
		os.Remove(path("symlink")),
	)
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
