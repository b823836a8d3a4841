package mountpoint

import (
	"path/filepath"
	"strconv"
	"strings"

	mount "k8s.io/mount-utils"
)

// mountInfo is the mount table of this process's mount namespace, proc(5).
const mountInfo = "/proc/self/mountinfo"

// Table returns the mount table, oldest mount first, with paths and sources as
// they are: the kernel writes blanks and backslashes in octal
// (fs/proc_namespace.c, mangle), which mount-utils leaves alone.
func Table() ([]mount.MountInfo, error) {
	table, err := mount.ParseMountInfo(mountInfo)
	if err != nil {
		return nil, err
	}
	for i := range table {
		table[i].Root = unescape(table[i].Root)
		table[i].MountPoint = unescape(table[i].MountPoint)
		table[i].Source = unescape(table[i].Source)
	}
	return table, nil
}

// At returns the mounts at path, the one on top last.
func At(path string) ([]mount.MountInfo, error) {
	table, err := Table()
	if err != nil {
		return nil, err
	}
	return at(table, filepath.Clean(path)), nil
}

// at is At in a table, of a clean path.
func at(table []mount.MountInfo, path string) (found []mount.MountInfo) {
	for _, info := range table {
		if info.MountPoint == path {
			found = append(found, info)
		}
	}
	return found
}

// SameFilesystem tells whether a and b are mounts of one file system.
func SameFilesystem(a, b mount.MountInfo) bool { return a.Major == b.Major && a.Minor == b.Minor }

// unescape undoes \ooo, three octal digits a byte.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		if s[0] == '\\' && len(s) >= 4 {
			if n, err := strconv.ParseUint(s[1:4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				s = s[4:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}
