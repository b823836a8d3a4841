package rig

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time that this process and all that were started have taken. None of them may have ended.
func (r *Rig) CPU() (time.Duration, error) {
	total, err := clock(unix.CLOCK_PROCESS_CPUTIME_ID)
	for _, pid := range r.pids {
		took, failure := clock(^int32(pid)<<3 | cpuclockSched)
		if failure != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", pid, failure)
		}
		total += took
	}
	return total, err
}

// cpuclockSched is the clock of another process that counts in nanoseconds (clock_getcpuclockid(3);
// include/linux/posix-timers.h, MAKE_PROCESS_CPUCLOCK).
const cpuclockSched = 2

func clock(id int32) (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(id, &t)
	return time.Duration(t.Nano()), err
}
