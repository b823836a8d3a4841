package node

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/csi-9p/csi-9p/node/mountpoint"
	mount "k8s.io/mount-utils"
)

// How our mounts look in the mount table: the source names the volume, so that
// a restarted service knows what it finds.
const (
	subtype      = "csi-9p"
	fsType       = "fuse." + subtype
	sourcePrefix = "csi-9p:"
)

func sourceOf(volumeID string) string { return sourcePrefix + url.PathEscape(volumeID) }

// volumeOf returns the id of the volume that a mount of the table is of; false
// for a mount that is not ours.
func (s *Service) volumeOf(table []mount.MountInfo, m mount.MountInfo) (id string, ours bool) {
	escaped, ours := strings.CutPrefix(m.Source, sourcePrefix)
	if ours && m.FsType == fsType {
		id, err := url.PathUnescape(escaped)
		return id, err == nil
	}
	if s.options.Kernel == nil {
		return "", false
	}
	return s.options.Kernel.VolumeOf(table, m)
}

// mountAt returns the topmost mount at path.
func mountAt(path string) (m mount.MountInfo, mounted bool, err error) {
	at, err := mountpoint.At(path)
	if err != nil || len(at) == 0 {
		return mount.MountInfo{}, false, local(err)
	}
	return at[len(at)-1], true, nil
}

// topmost is mountAt in a table that was read.
func topmost(table []mount.MountInfo, path string) (m mount.MountInfo, mounted bool) {
	for _, info := range table {
		if info.MountPoint == filepath.Clean(path) {
			m, mounted = info, true
		}
	}
	return m, mounted
}

// mountOf is mountAt for a path that has the volume's mounts and no others.
func (s *Service) mountOf(volumeID, field, path string) (m mount.MountInfo, mounted bool, err error) {
	table, err := mountpoint.Table()
	if err != nil {
		return m, false, local(err)
	}
	if m, mounted = topmost(table, path); !mounted {
		return m, false, nil
	}
	if id, ours := s.volumeOf(table, m); !ours || id != volumeID {
		return m, false, precondition("%s %s is taken by a mount of %s (%s), not of volume %s; unmount it", field, path, m.Source, m.FsType, volumeID)
	}
	return m, true, nil
}

// othersOf returns where else, but at those paths, the whole tree of m is
// mounted. What shows only a part of it, such as a container's subPath, is not
// counted.
func (s *Service) othersOf(m mount.MountInfo, but ...string) ([]string, error) {
	table, err := mountpoint.Table()
	if err != nil {
		return nil, local(err)
	}
	var others []string
	for _, other := range table {
		if mountpoint.SameFilesystem(m, other) && other.Root == m.Root && !slices.Contains(but, other.MountPoint) && !s.isPlace(other.MountPoint) {
			others = append(others, other.MountPoint)
		}
	}
	return others, nil
}

// isPlace tells whether a path is where the kernel's client mounts volumes, before they are bound.
func (s *Service) isPlace(path string) bool {
	return s.options.Kernel != nil && s.options.Kernel.Below(path)
}

// elsewhere tells whether the file system of m, wholly or in part, is mounted at
// another path too.
func elsewhere(m mount.MountInfo, path string) (bool, error) {
	table, err := mountpoint.Table()
	if err != nil {
		return false, local(err)
	}
	return slices.ContainsFunc(table, func(other mount.MountInfo) bool {
		return mountpoint.SameFilesystem(m, other) && other.MountPoint != path
	}), nil
}

func readOnly(m mount.MountInfo) bool { return slices.Contains(m.MountOptions, "ro") }

// checkPath checks a path that the CO gave and returns it as the mount table
// has it. Symbolic links are followed in its parents alone: to look at its last
// component is to ask the file system that is mounted there.
func checkPath(field, path string) (string, error) {
	switch {
	case path == "":
		return "", invalid("%s is missing", field)
	case !filepath.IsAbs(path), strings.ContainsRune(path, 0), len(path) > maxPath:
		return "", invalid("%s %.80q must be an absolute path of at most %d bytes", field, path, maxPath)
	}
	path = filepath.Clean(path)
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path, nil // without its parent nothing is mounted there
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}

// maxPath is PATH_MAX without its NUL, in bytes.
const maxPath = 4095
