package report

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where a bench ran. It has no name.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Memory int64  `json:"memoryBytes"`
	Go     string `json:"go"`
}

// ThisMachine describes the machine that the process runs on.
func ThisMachine() Machine {
	m := Machine{CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version()}
	if m.CPU == "" {
		m.CPU = runtime.GOARCH
	}
	if kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = kib << 10
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		m.Kernel, _, _ = strings.Cut(unix.ByteSliceToString(u.Release[:]), "-") // what follows is a builder's name
	}
	return m
}

// String is one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %.0f GiB of memory, Linux %s, %s", m.CPU, m.Cores, float64(m.Memory)/(1<<30), m.Kernel, m.Go)
}

// field is the value of the first line "name: value" of a file of /proc; empty if there is none.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
