package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// first is the life of the first process: it has another obey the lab, takes in orphans meanwhile, and then ends the guest.
// The lab starts QEMU with -no-reboot, which makes a reboot an end.
func first() {
	cmd := exec.Command("/init", serveVerb)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = []string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp", "GOTRACEBACK=all"}
	err := cmd.Start()
	for err == nil {
		var pid int
		pid, err = unix.Wait4(-1, nil, 0, nil)
		if pid == cmd.Process.Pid {
			break
		}
		if errors.Is(err, unix.EINTR) {
			err = nil
		}
	}
	fmt.Println("inside: the guest ends", err)
	unix.Sync()
	fmt.Println(unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
	select {} // the end of the first process would be a panic of the kernel
}

// prepare makes a system of what the kernel began with.
func prepare() error {
	for _, m := range []struct{ kind, dir, options string }{
		{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"devtmpfs", "/dev", ""}, {"devpts", "/dev/pts", ""},
		{"tmpfs", "/dev/shm", ""}, {"tmpfs", "/tmp", ""}, {"tmpfs", "/run", ""},
		{"hugetlbfs", "/dev/hugepages", "pagesize=2M"},
	} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("mounting %s: %w", m.dir, err)
		}
	}
	if err := os.Chmod("/tmp", 0o1777); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("making the mounts shared: %w", err)
	}
	if err := busybox("busybox", "--install", "-s", "/bin"); err != nil {
		return err
	}
	return errors.Join(loadModules("/modules"), network())
}

// busybox runs one of its applets.
func busybox(applet string, args ...string) error {
	cmd := exec.Command("/bin/busybox", args...)
	cmd.Args[0] = applet
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", applet, strings.Join(args, " "), err, out)
	}
	return nil
}

// loadModules loads the modules of a directory in the order of their names. The file "parameters" there has lines of a
// module's name and its parameters.
func loadModules(dir string) error {
	parameters := map[string]string{}
	b, err := os.ReadFile(filepath.Join(dir, "parameters"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		parameters[name] = value
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	for _, file := range files {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".ko"), "-")
		if err := loadModule(file, parameters[name]); err != nil {
			return fmt.Errorf("loading the module %s: %w", name, err)
		}
	}
	return nil
}

func loadModule(file, parameters string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), parameters, 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// network brings up the loopback and the interface to the host, whose side is QEMU's user network: the host is 10.0.2.2.
func network() error {
	return errors.Join(
		busybox("ip", "link", "set", "lo", "up"),
		busybox("ip", "address", "add", "10.0.2.15/24", "dev", "eth0"),
		busybox("ip", "link", "set", "eth0", "up"),
	)
}
