package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// Cgroup is a cgroup by its path beneath the root of each controller's hierarchy, as in /csi-9p-lab-17.
type Cgroup string

// make creates the cgroup in every hierarchy of cgroup v1.
func (c Cgroup) make() error {
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		dir := filepath.Join(h, string(c))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		// A cpuset without processors and memory nodes takes no process.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove removes the cgroup and those beneath it from every hierarchy. Their processes must have ended.
func (c Cgroup) Remove() error {
	tops, err := filepath.Glob(filepath.Join(cgroupRoot, "*", string(c)))
	if err != nil {
		return err
	}
	for _, top := range tops {
		var dirs []string
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, dir := range slices.Backward(dirs) { // the innermost first
			if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("removing the cgroup %s: %w", dir, err)
			}
		}
	}
	return nil
}

// hierarchies are the mount points of the controllers of cgroup v1.
func hierarchies() ([]string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", cgroupRoot, err)
	}
	if s.Type == unix.CGROUP2_SUPER_MAGIC {
		return nil, fmt.Errorf("%s is cgroup v2 only: the lab knows cgroup v1 (boot with systemd.unified_cgroup_hierarchy=0)", cgroupRoot)
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		dir := filepath.Join(cgroupRoot, e.Name())
		if err := unix.Statfs(dir, &s); err == nil && s.Type == unix.CGROUP_SUPER_MAGIC && e.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("no controller of cgroup v1 is mounted in %s", cgroupRoot)
	}
	return dirs, nil
}
