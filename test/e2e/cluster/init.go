package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// namespaces are those that the admin host and each node have of their own. Cgroups are not among them: kubelet and
// containerd are told where theirs are.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// Isolated are the attributes of a process that becomes the first of namespaces of its own, and that dies, with all
// in its namespaces, when the thread that started it ends.
func Isolated() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: unix.SIGKILL}
}

// sysctls are what kubelet wants (protectKernelDefaults), or would change otherwise. A node sees files with these
// values in place of the machine's, which stay as they are.
var sysctls = map[string]string{
	"kernel/keys/root_maxbytes": "25000000",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
}

// scratch are the directories that a node has of its own, so that all default paths of Kubernetes work and nothing is
// written to the machine.
var scratch = []string{"/run", "/tmp", "/var/lib", "/var/log"}

// initConfig is what the first process of a node is told.
type initConfig struct {
	Name string
	Keep []string // directories that must stay visible
	Disk string   // directory on a disk, for what containers and kubelet write
}

// InitAdmin prepares the namespaces of the admin host, which needs the directories given. It is the first thing that
// their first process does.
func InitAdmin(keep ...string) error {
	return errors.Join(unix.Sethostname([]byte("lab")), privateMounts(unix.MS_PRIVATE), detachForeign(keep))
}

// InitNode is the life of the first process of a node: it prepares the node's namespaces, says so by closing ready,
// and reaps processes for ever.
func InitNode(config string, ready *os.File) error {
	b, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	var c initConfig
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("%s: %w", config, err)
	}
	err = errors.Join(
		unix.Sethostname([]byte(c.Name)),
		privateMounts(unix.MS_SHARED), // for mount propagation into containers and back
		detachForeign(c.Keep, scratch...),
		c.mountScratch(),
		c.mountDisks(),
		c.mountSysctls(),
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
	)
	if err != nil {
		return err
	}
	for _, dir := range []string{"/run/cni", "/var/lib/kubelet/seccomp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if _, err := ready.WriteString("ready"); err != nil {
		return err
	}
	if err := ready.Close(); err != nil {
		return err
	}
	return reap()
}

// privateMounts cuts the mounts off from the machine's, gives them the propagation, and mounts the proc of this pid
// namespace.
func privateMounts(propagation uintptr) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return unix.Mount("", "/", "", unix.MS_REC|propagation, "")
}

// detachForeign lets go of the machine's FUSE mounts, which are copies that would keep file systems alive after the
// machine unmounted them, and of what is mounted beneath the directories given; but for mounts that hold what is to
// be kept.
func detachForeign(keep []string, beneath ...string) error {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		foreign := strings.HasPrefix(m.FSType, "fuse") && m.FSType != "fusectl"
		for _, dir := range beneath {
			foreign = foreign || strings.HasPrefix(m.Mountpoint, dir+"/")
		}
		for _, dir := range keep {
			foreign = foreign && !strings.HasPrefix(dir+"/", m.Mountpoint+"/")
		}
		return !foreign, false
	})
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		// EINVAL: it went with the one that it was mounted on.
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("detaching %s: %w", m.Mountpoint, err)
		}
	}
	return nil
}

// mountScratch covers the scratch directories, then makes those visible again that are to be kept.
func (c initConfig) mountScratch() error {
	kept := map[string]*os.File{}
	for _, dir := range c.Keep {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer f.Close()
		kept[dir] = f
	}
	for _, dir := range scratch {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("covering %s: %w", dir, err)
		}
	}
	if err := os.Chmod("/tmp", 0o1777|os.ModeSticky); err != nil {
		return err
	}
	for dir, f := range kept {
		if !covered(dir) {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := bind(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), dir); err != nil {
			return err
		}
	}
	return nil
}

// covered reports whether a path lies in a scratch directory.
func covered(path string) bool {
	for _, dir := range scratch {
		if strings.HasPrefix(path+"/", dir+"/") {
			return true
		}
	}
	return false
}

// mountDisks puts what grows on a disk. The mounts have peer groups of their own: as part of the disk's file system
// they would be propagated twice.
func (c initConfig) mountDisks() error {
	for _, name := range []string{"kubelet", "containerd"} {
		source, target := filepath.Join(c.Disk, name), filepath.Join("/var/lib", name)
		if err := errors.Join(os.MkdirAll(source, 0o755), os.MkdirAll(target, 0o755), bind(source, target)); err != nil {
			return err
		}
		for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
			if err := unix.Mount("", target, "", propagation, ""); err != nil {
				return fmt.Errorf("propagation of %s: %w", target, err)
			}
		}
	}
	return nil
}

func (c initConfig) mountSysctls() error {
	// A user namespace, of a pod with hostUsers: false, may mount proc only where a proc with nothing mounted over it is
	// to be seen.
	const plain = "/run/lab-proc"
	err := os.Mkdir(plain, 0o755)
	if err == nil {
		err = unix.Mount("proc", plain, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		return fmt.Errorf("mounting %s: %w", plain, err)
	}
	for name, value := range sysctls {
		file := filepath.Join("/run/lab-sysctls", name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, []byte(value+"\n"), 0o644)
		}
		if err == nil {
			err = bind(file, filepath.Join("/proc/sys", name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s to %s: %w", source, target, err)
	}
	return nil
}

// reap waits for the processes that are left to the first one of the pid namespace, until that is killed.
func reap() error {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	for range children {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
	return nil
}
