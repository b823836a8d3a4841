package kubelet_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// The mounter under the seccomp profile of the overlay vsock serves volumes by
// io_uring, with nothing but the calls that the profile allows.
func TestConfinedByProfile(t *testing.T) {
	restore, err := lab.EnableIOURing()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(restore)
	lab.NeedIOURing(t)
	profile := readProfile(t, "../../deploy/kubernetes/overlays/vsock/vsock.json")
	filter := filepath.Join(lab.Dir(t), "filter")
	must(t, os.WriteFile(filter, profile.filter(callNumbers(t)), 0o600))
	n := newNodeWith(t, func(mounter *exec.Cmd) *exec.Cmd {
		return lab.ChildCommand(t, "confined", append([]string{filter}, append(mounter.Args, "--io-uring=require")...)...)
	})
	v := n.volume("confined", lab.Exporter(t, lab.Dir(t)))
	must(t, v.stage(t.Context()))
	p := v.pod("verify")
	p.busy(t)
	p.finish(t)
	v.delete(p)
	n.holdsNothing()
}

// confined becomes another program under a filter of its system calls, which is
// in a file.
func confined(args []string) error {
	filter, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	runtime.LockOSThread()
	prog := unix.SockFprog{Len: uint16(len(filter) / instruction), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if unix.Unshare(unix.CLONE_NEWUTS) == nil {
		return errors.New("unshare, which root may and a container may not, is allowed: there is no filter")
	}
	return syscall.Exec(args[1], args[1:], os.Environ())
}

// profile is a seccomp profile as container runtimes take it.
type profile struct {
	Syscalls []rule `json:"syscalls"`
}

type rule struct {
	Names    []string   `json:"names"`
	Action   string     `json:"action"`
	ErrnoRet uint32     `json:"errnoRet"`
	Args     []argument `json:"args"`
}

type argument struct {
	Index    uint32 `json:"index"`
	Value    uint32 `json:"value"`
	ValueTwo uint32 `json:"valueTwo"`
	Op       string `json:"op"`
}

func readProfile(t *testing.T, path string) *profile {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	p := &profile{}
	must(t, json.Unmarshal(data, p))
	return p
}

// callNumbers are the numbers of this machine's system calls by name, as
// golang.org/x/sys has them.
func callNumbers(t *testing.T) map[string]uint32 {
	t.Helper()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "golang.org/x/sys/unix").Output()
	must(t, err)
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "zsysnum_linux_"+runtime.GOARCH+".go"))
	must(t, err)
	numbers := map[string]uint32{}
	for _, m := range regexp.MustCompile(`\bSYS_(\w+)\s*= (\d+)`).FindAllStringSubmatch(string(source), -1) {
		number, err := strconv.ParseUint(m[2], 10, 32)
		must(t, err)
		numbers[strings.ToLower(m[1])] = uint32(number)
	}
	return numbers
}

// Parts of classic BPF (include/uapi/linux/bpf_common.h) and of what seccomp
// filters look at (struct seccomp_data of include/uapi/linux/seccomp.h).
const (
	load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	atLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	and     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	answer  = unix.BPF_RET | unix.BPF_K

	numberAt    = 0
	argumentsAt = 16
	instruction = 8 // bytes
)

// filter is the program that does what the profile says of calls that this
// machine has a number for.
func (p *profile) filter(numbers map[string]uint32) (f []byte) {
	add := func(code uint16, yes, no uint8, k uint32) {
		f = binary.NativeEndian.AppendUint16(f, code)
		f = binary.NativeEndian.AppendUint32(append(f, yes, no), k)
	}
	add(load, 0, 0, numberAt)
	for _, r := range p.Syscalls {
		verdict := uint32(unix.SECCOMP_RET_ALLOW)
		if r.Action != "SCMP_ACT_ALLOW" {
			verdict = unix.SECCOMP_RET_ERRNO | r.ErrnoRet
		}
		for _, name := range r.Names {
			number, known := numbers[name]
			switch {
			case !known:
			case len(r.Args) == 0:
				add(equal, 0, 1, number)
				add(answer, 0, 0, verdict)
			default:
				a := r.Args[0] // none has two
				add(equal, 0, 5, number)
				add(load, 0, 0, argumentsAt+8*a.Index)
				switch a.Op {
				case "SCMP_CMP_MASKED_EQ":
					add(and, 0, 0, a.Value)
					add(equal, 0, 1, a.ValueTwo)
				case "SCMP_CMP_LT":
					add(and, 0, 0, ^uint32(0))
					add(atLeast, 1, 0, a.Value)
				default:
					add(and, 0, 0, ^uint32(0))
					add(equal, 0, 1, a.Value)
				}
				add(answer, 0, 0, verdict)
				add(load, 0, 0, numberAt)
			}
		}
	}
	add(answer, 0, 0, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
	return f
}
