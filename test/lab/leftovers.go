package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// leftovers names what the fixtures of this run left on the machine, and
// removes what it can.
func leftovers() []string {
	dir, err := run()
	if err != nil {
		return []string{err.Error()}
	}
	left := append(mountsBelow(dir), socketsBelow(dir)...)
	left = append(left, Descendants()...)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return append(left, err.Error())
	}
	for _, entry := range entries {
		if entry.IsDir() {
			left = append(left, "directory "+filepath.Join(dir, entry.Name()))
		}
	}
	// With a mount still there, removing would delete on a server.
	if len(left) == 0 {
		if err := os.RemoveAll(dir); err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

// mountsBelow names the mounts in a directory, and detaches them.
func mountsBelow(dir string) []string {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return []string{err.Error()}
	}
	var left []string
	for _, m := range mounts {
		left = append(left, fmt.Sprintf("mount %s (%s)", m.Mountpoint, m.FSType))
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			left = append(left, fmt.Sprintf("detach %s: %v", m.Mountpoint, err))
		}
	}
	return left
}

// socketsBelow names the unix sockets bound in a directory.
func socketsBelow(dir string) []string {
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return []string{err.Error()}
	}
	var left []string
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		if i := strings.Index(lines.Text(), dir+"/"); i >= 0 {
			left = append(left, "socket "+lines.Text()[i:])
		}
	}
	return left
}

// Descendants is the command lines of the live processes that fixtures of this
// run have started, directly or not.
func Descendants() []string {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	var all []string
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(append([]byte{0}, env...), []byte("\x00"+mark()+"\x00")) {
			continue
		}
		all = append(all, nameOf(filepath.Dir(file)))
	}
	return all
}

// nameOf is what people know the process of a directory of /proc by.
func nameOf(dir string) string {
	cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	return fmt.Sprintf("process %s: %q", dir, bytes.ReplaceAll(cmdline, []byte{0}, []byte(" ")))
}
