package build

import "strings"

// The versions that go.mod and runc/go.mod pin, as the programs report them.
const (
	kubernetesVersion = "v1.36.3"
	containerdVersion = "2.3.7"
	runcVersion       = "1.3.6"
)

// The programs of a cluster.
var (
	// Kubernetes is one binary; components are links to it (see the package kubernetes).
	Kubernetes = Program{Name: "kubernetes", Packages: []string{"./kubernetes"}, Flags: kubernetesFlags}
	Containerd = Program{
		Name: "containerd",
		Packages: []string{
			"github.com/containerd/containerd/v2/cmd/containerd",
			"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"github.com/containerd/containerd/v2/cmd/ctr",
		},
		Tags:  "no_btrfs no_zfs no_devmapper no_blockfile",
		Flags: "-s -w -X github.com/containerd/containerd/v2/version.Version=" + containerdVersion,
	}
	// CNI are the plugins of the pods' network.
	CNI = Program{
		Name: "cni",
		Packages: []string{
			"github.com/containernetworking/plugins/plugins/ipam/host-local",
			"github.com/containernetworking/plugins/plugins/main/ptp",
		},
		Flags: "-s -w",
	}
	// Runc wants seccomp, a C library: every sandbox has the RuntimeDefault profile. It is a module of its own because its
	// dependencies clash with those of Kubernetes.
	Runc = Program{
		Name:     "runc",
		Module:   "runc",
		Packages: []string{"github.com/opencontainers/runc"},
		Tags:     "seccomp netgo osusergo",
		Flags:    "-s -w -X main.version=" + runcVersion + " -extldflags -static",
		Cgo:      true,
	}
	// DriverProgram is the driver itself, from the repository that the lab lies in.
	DriverProgram = Program{
		Name:     "driver",
		Module:   "../..",
		Packages: []string{"./cmd/csi-9p"},
		Flags:    "-s -w -X main.stamped=lab",
	}
	// ExternalSuite is Kubernetes' own suite for storage drivers, and what runs it.
	ExternalSuite = Program{
		Name:     "external",
		Packages: []string{"./external/suite", "github.com/onsi/ginkgo/v2/ginkgo"},
		Flags:    "-s -w",
	}
	populator = Program{
		Name:     "populator",
		Packages: []string{"./external/populator"},
		Flags:    "-s -w",
	}
	sidecars = Program{
		Name: "sidecars",
		Packages: []string{
			"github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner",
			"github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer",
		},
		Flags: "-s -w",
	}
	standins = Program{
		Name:     "standins",
		Packages: []string{"./standin/pause", "./standin/registrar", "./standin/livenessprobe"},
		Flags:    "-s -w",
	}
	workload = Program{
		Name:     "workload",
		Packages: []string{"./workload"},
		Flags:    "-s -w",
	}
	agnhost = Program{
		Name:     "agnhost",
		Packages: []string{"k8s.io/kubernetes/test/images/agnhost"},
		Flags:    "-s -w",
	}
)

// kubernetesFlags stamp the version, without which nodes and clients are refused as v0.0.0-master.
var kubernetesFlags = "-s -w " + strings.Join([]string{
	"-X k8s.io/component-base/version.gitVersion=" + kubernetesVersion,
	"-X k8s.io/component-base/version.gitMajor=1",
	"-X k8s.io/component-base/version.gitMinor=36",
	"-X k8s.io/component-base/version.gitTreeState=clean",
	"-X k8s.io/component-base/version.buildDate=2026-01-01T00:00:00Z",
	"-X k8s.io/client-go/pkg/version.gitVersion=" + kubernetesVersion,
}, " ")
