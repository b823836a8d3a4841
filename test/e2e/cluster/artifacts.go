package cluster

import (
	"context"
	"os"
	"path/filepath"

	"github.com/csi-9p/csi-9p/test/e2e/build"
)

// Artifacts are the files that a cluster is made of. Making them needs the network and may take long; it is done
// before there are any namespaces.
type Artifacts struct {
	Programs map[string]string // name of a program -> path of the executable
	Images   []string          // archives of what pods run
}

// components are the names by which the binary of Kubernetes is called.
var components = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"}

// debian names the Debian package of each file of the machine that a cluster relies on.
var debian = map[string]string{
	"/bin/busybox":           "busybox-static",
	"/usr/bin/gcc":           "gcc",
	"/usr/bin/openssl":       "openssl",
	"/usr/bin/pkg-config":    "pkg-config",
	"/usr/include/seccomp.h": "libseccomp-dev",
	"/usr/include/stdlib.h":  "libc6-dev",
	"/usr/sbin/nft":          "nftables",
}

// MakePrograms builds the programs of a cluster.
func MakePrograms(ctx context.Context, b *build.Builder) (map[string]string, error) {
	if err := b.Debian(ctx, debian); err != nil {
		return nil, err
	}
	programs := map[string]string{}
	for _, p := range []build.Program{build.Kubernetes, build.Containerd, build.CNI, build.Runc, build.DriverProgram} {
		dir, err := b.Build(ctx, p)
		if err != nil {
			return nil, err
		}
		if p.Name == build.Kubernetes.Name {
			for _, name := range components {
				programs[name] = filepath.Join(dir, "kubernetes")
			}
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			programs[e.Name()] = filepath.Join(dir, e.Name())
		}
	}
	return programs, nil
}

// link makes dir hold a link to every program, so that it can be a PATH.
func (a Artifacts) link(dir string) error {
	for name, path := range a.Programs {
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
