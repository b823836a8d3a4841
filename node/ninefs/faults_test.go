package ninefs_test

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

// uses are what a process can wait for a server in, done again and again with a file of 1 MiB and its directory.
var uses = map[string]func(f *os.File, i int) error{
	"stat": func(f *os.File, i int) error {
		if err := unix.Stat(fmt.Sprint(f.Name(), i%2), &unix.Stat_t{}); !errors.Is(err, unix.ENOENT) {
			return err
		}
		return nil
	},
	"statfs": func(f *os.File, _ int) error { return unix.Statfs(f.Name(), &unix.Statfs_t{}) },
	"create": func(f *os.File, i int) error {
		g, err := os.Create(fmt.Sprint(f.Name(), "-", os.Getpid(), "-", i%2))
		if err != nil {
			return err
		}
		return errors.Join(g.Close(), os.Remove(g.Name()))
	},
	"read": func(f *os.File, i int) error {
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return err
		}
		_, err := f.ReadAt(make([]byte, 4096), int64(i%200)*4096)
		return err
	},
	"write": func(f *os.File, i int) error {
		_, err := f.WriteAt(make([]byte, 4096), int64(i%200)*4096)
		return err
	},
	"append": func(f *os.File, _ int) error {
		g, err := os.OpenFile(f.Name(), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer g.Close()
		for range 100 {
			if _, err := g.Write([]byte("a")); err != nil {
				return err
			}
		}
		return nil
	},
	"fsync": func(f *os.File, _ int) error { return f.Sync() },
	"list": func(f *os.File, _ int) error {
		_, err := os.ReadDir(filepath.Dir(f.Name()))
		return err
	},
	"getxattr": func(f *os.File, _ int) error {
		_, err := unix.Getxattr(f.Name(), "user.some", make([]byte, 10))
		return err
	},
	"setxattr": func(f *os.File, _ int) error { return unix.Setxattr(f.Name(), "user.some", []byte("value"), 0) },
	"lock": func(f *os.File, i int) error {
		return unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: []int16{unix.F_RDLCK, unix.F_UNLCK}[i%2]})
	},
	"stat with a lock": func(f *os.File, _ int) error {
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_RDLCK}); err != nil {
			return err
		}
		for {
			if err := unix.Stat(f.Name()+"0", &unix.Stat_t{}); !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
	},
	"map": func() func(*os.File, int) error {
		var mem []byte
		return func(f *os.File, i int) (err error) {
			if mem == nil {
				if mem, err = unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
					return err
				}
			}
			if mem[i%200*4096]++; i%50 == 0 {
				return unix.Msync(mem, unix.MS_SYNC)
			}
			return nil
		}
	}(),
}

// use does one of uses until it is killed. Arguments: which, and the file.
func use(args []string) error {
	f, err := os.OpenFile(args[1], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := uses[args[0]](f, i); err != nil {
			return err
		}
	}
}

// waits reports whether some thread of a process waits for an answer from a server.
func waits(p *lab.Process) error {
	select {
	case <-p.Ended():
		return fmt.Errorf("it ended: %s", p.Output())
	default:
	}
	stacks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stack", p.PID()))
	if err != nil {
		return err
	}
	for _, path := range stacks {
		b, err := os.ReadFile(path)
		if err == nil && (strings.Contains(string(b), "request_wait_answer") || strings.Contains(string(b), "folio_wait")) {
			return nil
		}
	}
	return errors.New("no thread waits")
}

// TestKilledWithoutServer: what was killed ends although its server is gone and will be waited for, or is there and answers
// nothing, not even a Tflush. So does what has pages that are to be written back, where the server is known to be lost.
func TestKilledWithoutServer(t *testing.T) {
	noLeak(t)
	lost, stop := stoppable(t, server.Options{})
	frozen := lab.Diod(t, lab.Dir(t))
	still := share{url: frozen.URL, root: frozen.Root}
	short := func(o *ninefs.Options) { o.WritebackTimeout = time.Second }
	none := func(o *ninefs.Options) { o.Cache = ninefs.CacheNone }
	mounts := []*mounted{mount(t, lost, short), mount(t, still), mount(t, still, none)}

	running := map[string]*lab.Process{}
	for i, m := range mounts {
		for what := range uses {
			moves := what == "read" || what == "write" || what == "append"
			if i > 0 && what == "map" || i > 1 && !moves { // what else there is does not depend on the cache
				continue
			}
			path := m.path(filepath.Join(fmt.Sprint(i, " ", what), "f"))
			check(t, os.Mkdir(filepath.Dir(path), 0o755))
			check(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
			check(t, unix.Setxattr(path, "user.some", []byte("value"), 0))
			running[path] = lab.Child(t, "use", what, path)
		}
	}
	each := func(test func(*lab.Process) error) {
		for path, p := range running {
			lab.Eventually(t, 20*time.Second, func() error {
				if err := test(p); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				return nil
			})
		}
	}
	each(waits)
	start := stop()
	frozen.Signal(t, syscall.SIGSTOP)
	each(waits)
	for _, p := range running {
		check(t, syscall.Kill(p.PID(), syscall.SIGKILL))
	}
	each(func(p *lab.Process) error {
		select {
		case <-p.Ended():
			return nil
		default:
			return errors.New("the killed process is still there")
		}
	})
	start()
	frozen.Signal(t, syscall.SIGCONT)
	for i, m := range mounts {
		stat(t, m.path(fmt.Sprint(i, " write")))
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
	noLeak(t)
	var running []*lab.Process
	for _, s := range []share{exporter(t), diod(t)} {
		running = append(running, lab.Child(t, "bombard", mount(t, s).dir))
	}
	for _, p := range running {
		check(t, p.Wait(60*time.Second))
	}
}
