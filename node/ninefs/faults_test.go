package ninefs_test

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

// use does one thing after another with a file until it is killed. Arguments: what, the path, and a file that says it has begun.
func use(args []string) error {
	what, path, begun := args[0], args[1], args[2]
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for i := 0; ; i++ {
		switch what {
		case "stat":
			var st unix.Stat_t
			err = unix.Stat(path+fmt.Sprint(i%2), &st)
			if errors.Is(err, unix.ENOENT) {
				err = nil
			}
		case "write":
			_, err = f.WriteAt(buf, int64(i%200)*4096)
		case "map":
			mem[i%200*4096]++
			if i%50 == 0 {
				err = unix.Msync(mem, unix.MS_SYNC)
			}
		}
		if err != nil {
			return err
		}
		if i == 100 {
			if err := os.WriteFile(begun, nil, 0o600); err != nil {
				return err
			}
		}
	}
}

// TestKilledWithoutServer: what was killed ends although its server does not answer and will be waited for, also when it
// has pages that are to be written back.
func TestKilledWithoutServer(t *testing.T) {
	for _, what := range []string{"stat", "write", "map"} {
		t.Run(what, func(t *testing.T) {
			noLeak(t)
			s, stop := stoppable(t, server.Options{})
			m := mount(t, s, func(o *ninefs.Options) { o.WritebackTimeout = time.Second })
			check(t, os.WriteFile(m.path("f"), make([]byte, 1<<20), 0o600))
			begun := filepath.Join(lab.Dir(t), "begun")
			p := lab.Child(t, "use", what, m.path("f"), begun)
			lab.Eventually(t, 10*time.Second, func() error {
				_, err := os.Stat(begun)
				return err
			})
			start := stop()
			check(t, syscall.Kill(p.PID(), syscall.SIGKILL))
			lab.Eventually(t, 15*time.Second, func() error {
				select {
				case <-p.Ended():
					return nil
				default:
					return errors.New("the killed process is still there")
				}
			})
			start()
		})
	}
}

// TestServerRestarts: files that are open go on working when the server is back.
func TestServerRestarts(t *testing.T) {
	noLeak(t)
	s, stop := stoppable(t, server.Options{})
	m := mount(t, s)
	f := openRW(t, m.path("f"))
	_, err := f.WriteString("before")
	check(t, err)
	check(t, os.Mkdir(m.path("d"), 0o755))
	stop()()
	_, err = f.WriteString(" and after")
	check(t, err)
	check(t, f.Sync())
	wantContent(t, m.path("f"), "before and after")
	write(t, m.path("d/g"), "g")
	wantContent(t, filepath.Join(s.root, "d/g"), "g")
}

// bombard writes and reads a file while it gets signals that kill nobody, as a program with a timer does.
func bombard(args []string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for {
			_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			time.Sleep(100 * time.Microsecond)
		}
	}()
	for i := range 300 {
		path := filepath.Join(args[0], fmt.Sprint(i))
		if err := unix.Mkdir(path, 0o755); err != nil {
			return fmt.Errorf("mkdir: %w", err)
		}
		fd, err := unix.Open(path+"/f", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if _, err := unix.Write(fd, make([]byte, 300_000)); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if _, err := unix.Pread(fd, make([]byte, 300_000), 0); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if err := errors.Join(unix.Close(fd), unix.Unlink(path+"/f"), unix.Rmdir(path)); err != nil {
			return err
		}
	}
	return nil
}

// TestSignals: a signal that does not kill changes nothing, as on a local file system.
func TestSignals(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		check(t, lab.Child(t, "bombard", m.dir).Wait(60*time.Second))
	})
}
