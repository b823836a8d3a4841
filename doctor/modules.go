package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// module is how a part of the kernel that may be a module is to be had.
type module string

const (
	loaded    module = "loaded"
	available module = "not loaded"
	absent    module = "absent"
	unknown   module = "not loaded, and without /lib/modules it is not seen whether it can be"
)

// usable tells whether the part is there, or comes with a modprobe.
func (s module) usable() bool { return s == loaded || s == available }

// module looks for a part of the kernel by its module's name, with underscores.
func (m *Machine) module(name string) module {
	if m.exists("sys/module/"+name) || m.mounts(name) {
		return loaded
	}
	dir := "lib/modules/" + m.Release
	if builtin, err := m.read(dir + "/modules.builtin"); err == nil && lists(builtin, name) {
		return loaded
	}
	modules, err := m.read(dir + "/modules.dep")
	switch {
	case err != nil && m.exists("proc/self") && !m.exists("proc/modules"): // a kernel without modules has what it has
		return absent
	case err != nil:
		return unknown
	case lists(modules, name):
		return available
	}
	return absent
}

// lists tells whether a list of depmod(8) has the module: each line begins with its path, "kernel/fs/9p/9p.ko" or with .xz and the
// like behind, and the file's name may have dashes.
func lists(list, name string) bool {
	for line := range strings.Lines(list) {
		path, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		file := path[strings.LastIndexByte(path, '/')+1:]
		file, _, _ = strings.Cut(file, ".ko")
		if strings.ReplaceAll(file, "-", "_") == name {
			return true
		}
	}
	return false
}

// modprobe is the cure for modules, by what is known of them.
func modprobe(s module, names ...string) string {
	load := "modprobe -a " + strings.Join(names, " ")
	switch s {
	case available:
		return load
	case unknown:
		return "on the node: " + load
	}
	return fmt.Sprintf("boot a kernel that has %s", strings.Join(names, ", "))
}

// mounts tells whether the kernel knows the type of file system, which may be built in without a trace elsewhere.
func (m *Machine) mounts(fstype string) bool {
	types, _ := m.read("proc/filesystems")
	return slices.Contains(strings.Fields(types), fstype)
}
