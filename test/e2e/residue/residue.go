// Package residue finds what a run of the lab would leave on the machine.
package residue

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Marker is the name of an environment variable whose value is the directory of a run: every process of the lab has it,
// but those in containers, which are in the run's cgroup.
const Marker = "CSI9P_LAB_RUN"

// Run says what can be told to belong to a run.
type Run struct {
	Dir    string // of the run
	Cgroup string // name, in every hierarchy
}

// paths are where a cluster mounts, if its mounts are not its own.
var paths = []string{"/run/containerd", "/run/netns", "/var/lib/containerd", "/var/lib/kubelet", "/var/run/netns"}

// Machine is the state of what a run must not change.
type Machine struct {
	sysctls    map[string]string
	mounts     map[string]bool
	interfaces []string
}

// Look notes the machine's state.
func Look() (*Machine, error) {
	m := &Machine{}
	var err error
	if m.sysctls, err = sysctls(); err != nil {
		return nil, err
	}
	if m.mounts, err = mounts(); err != nil {
		return nil, err
	}
	links, err := net.Interfaces()
	for _, l := range links {
		m.interfaces = append(m.interfaces, l.Name)
	}
	return m, err
}

// Compare returns an error that names all that the run left or changed since the machine was before.
func (m *Machine) Compare(r Run) error {
	now, err := Look()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(m.sysctls)) {
		if value, ok := now.sysctls[name]; ok && value != m.sysctls[name] {
			errs = append(errs, fmt.Errorf("the sysctl %s was %q and is %q", name, m.sysctls[name], value))
		}
	}
	for mount := range now.mounts {
		if !m.mounts[mount] && r.owns(mount) {
			errs = append(errs, fmt.Errorf("a mount is left: %s", mount))
		}
	}
	for _, name := range now.interfaces {
		if !slices.Contains(m.interfaces, name) {
			errs = append(errs, fmt.Errorf("a network interface is left: %s", name))
		}
	}
	groups, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", r.Cgroup))
	errs = append(errs, err)
	for _, g := range groups {
		errs = append(errs, fmt.Errorf("a cgroup is left: %s", g))
	}
	if _, err := os.Lstat(r.Dir); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("a directory is left: %s", r.Dir))
	}
	return errors.Join(append(errs, r.processes())...)
}

func (r Run) owns(mount string) bool {
	for _, p := range append([]string{r.Dir}, paths...) {
		if strings.Contains(mount, p) {
			return true
		}
	}
	return false
}

// processes returns an error that names the processes of the run that still live, but the caller.
func (r Run) processes() error {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range environments {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		if slices.ContainsFunc(bytes.Split(b, []byte{0}), func(v []byte) bool { return string(v) == Marker+"="+r.Dir }) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			errs = append(errs, fmt.Errorf("a process is left: %s %q", filepath.Base(filepath.Dir(path)), command))
		}
	}
	return errors.Join(errs...)
}

// mounts are the lines of mountinfo without their ids, which differ for one mount seen twice.
func mounts() (map[string]bool, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if _, rest, ok := strings.Cut(line, " "); ok {
			if _, rest, ok = strings.Cut(rest, " "); ok {
				lines[strings.TrimSpace(rest)] = true
			}
		}
	}
	return lines, nil
}

// volatile are the sysctls that change by themselves.
var volatile = []string{
	"fs/aio-nr", "fs/dentry-state", "fs/file-nr", "fs/inode-nr", "fs/inode-state", "fs/quota",
	"kernel/hung_task_detect_count", "kernel/hung_task_warnings", "kernel/ns_last_pid", "kernel/pty/nr", "kernel/random", "net/netfilter/nf_conntrack_count",
}

// sysctls are the values of all of /proc/sys that can be read.
func sysctls() (map[string]string, error) {
	const root = "/proc/sys"
	values := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root+"/")
		if err != nil || slices.ContainsFunc(volatile, func(v string) bool { return name == v || strings.HasPrefix(name, v+"/") }) {
			return nil // gone meanwhile, or of no interest
		}
		if info, err := d.Info(); err != nil || !info.Mode().IsRegular() || info.Mode()&0o400 == 0 {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil {
			values[name] = strings.TrimSpace(string(b))
		}
		return nil
	})
	return values, err
}
