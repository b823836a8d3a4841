package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// architectures are those that containerd's default profile has for a platform, and the calls that only that platform has.
var architectures = map[string]struct {
	names []specs.Arch
	calls []string
}{
	"amd64": {[]specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, []string{"arch_prctl", "modify_ldt"}},
	"arm64": {
		[]specs.Arch{specs.ArchARM, specs.ArchAARCH64},
		[]string{"arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls"},
	},
}

// The profile is containerd's default for a process without capabilities, for both platforms of the image, and allows besides
// sockets of AF_VSOCK and the three calls of io_uring. Nothing else: it is as tight as what it replaces.
func TestSeccompProfile(t *testing.T) {
	data, err := os.ReadFile(kubernetesDir + "/overlays/vsock/vsock.json")
	if err != nil {
		t.Fatal(err)
	}
	var got specs.LinuxSeccomp
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := seccomp.DefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}})
	for platform, a := range architectures {
		if platform != runtime.GOARCH {
			want.Architectures = append(want.Architectures, a.names...)
			want.Syscalls = append(want.Syscalls, allow(a.calls...))
		}
	}
	vsock := allow("socket")
	vsock.Args = []specs.LinuxSeccompArg{{Index: 0, Value: unix.AF_VSOCK, Op: specs.OpEqualTo}}
	want.Syscalls = append(want.Syscalls, vsock, allow("io_uring_enter", "io_uring_register", "io_uring_setup"))
	if got.DefaultAction != want.DefaultAction || got.DefaultErrnoRet != nil || got.Flags != nil {
		t.Errorf("default action %s, errno %v, flags %v", got.DefaultAction, got.DefaultErrnoRet, got.Flags)
	}
	if diff := cmp.Diff(sorted(want.Architectures), sorted(got.Architectures)); diff != "" {
		t.Errorf("architectures (- wanted, + found):\n%s", diff)
	}
	if diff := cmp.Diff(rulesOf(t, want), rulesOf(t, &got)); diff != "" {
		t.Errorf("rules (- wanted, + found):\n%s", diff)
	}
}

func allow(names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: specs.ActAllow}
}

// rulesOf lists a profile's rules, one for each system call, in order.
func rulesOf(t *testing.T, profile *specs.LinuxSeccomp) []string {
	t.Helper()
	var rules []string
	for _, s := range profile.Syscalls {
		for _, name := range s.Names {
			rule := s
			rule.Names = []string{name}
			if len(rule.Args) == 0 {
				rule.Args = nil
			}
			data, err := json.Marshal(rule)
			if err != nil {
				t.Fatal(err)
			}
			rules = append(rules, string(data))
		}
	}
	return slices.Compact(sorted(rules))
}

func sorted[T ~string](values []T) []T { return slices.Sorted(slices.Values(values)) }

// The chart cannot reach out of its directory and has a copy.
func TestChartsProfile(t *testing.T) {
	want, err := os.ReadFile(kubernetesDir + "/overlays/vsock/vsock.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(chartDir + "/files/vsock.json")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("files/vsock.json is not that of the overlay vsock (%v)", err)
	}
}
