package memory

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// State is what this process takes at one moment, when it is at rest.
type State struct {
	Name       string `json:"name"`
	Volumes    int    `json:"volumes"`
	Resident   int64  `json:"residentBytes"`
	Peak       int64  `json:"peakBytes"` // the most that was resident until then
	Heap       int64  `json:"heapBytes"`
	Stacks     int64  `json:"stackBytes"`
	Goroutines int    `json:"goroutines"`
	Files      int    `json:"files"`
}

// rest is how long nothing is done before memory is looked at: what waits for more work to come has gone by then.
const rest = time.Second

// measure gives back what nobody uses, and looks.
func measure(name string, volumes int) (State, error) {
	time.Sleep(rest)
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := State{
		Name: name, Volumes: volumes, Goroutines: runtime.NumGoroutine(),
		Heap: int64(m.HeapAlloc), Stacks: int64(m.StackInuse),
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return s, err
	}
	s.Files = len(files) - 1 // the directory itself
	if s.Resident, err = status("VmRSS"); err == nil {
		s.Peak, err = status("VmHWM")
	}
	return s, err
}

// status is a field of /proc/self/status in bytes (proc_pid_status(5)).
func status(name string) (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no %s", name)
}
