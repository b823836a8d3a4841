// Package exporter_test runs what the manifests of this directory describe: the certificates that certificates.sh makes, and
// `csi-9p serve` with the arguments and the capabilities of the Deployment.
package exporter_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// container is the exporter's of base/deployment.yaml.
type container struct {
	Args            []string
	SecurityContext struct {
		Capabilities struct{ Add, Drop []string }
	}
}

func deployed(t *testing.T) container {
	t.Helper()
	content, err := os.ReadFile("base/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct{ Containers []container }
			}
		}
	}
	if err := yaml.Unmarshal(content, &deployment); err != nil {
		t.Fatal(err)
	}
	if n := len(deployment.Spec.Template.Spec.Containers); n != 1 {
		t.Fatalf("%d containers, want 1", n)
	}
	return deployment.Spec.Template.Spec.Containers[0]
}

// limited makes a command that runs as root with these capabilities and no others, and without a way to gain any: as a container
// that has dropped ALL and added them, with allowPrivilegeEscalation: false.
func limited(t *testing.T, capabilities []string, command ...string) *exec.Cmd {
	t.Helper()
	set := "-all"
	for _, c := range capabilities {
		set += ",+" + strings.ToLower(c)
	}
	return exec.Command(lab.Need(t, "setpriv", "util-linux"), append([]string{"--no-new-privs", "--bounding-set", set}, command...)...)
}

// serve runs the exporter of root with these capabilities until the test ends, and returns its URL.
func serve(t *testing.T, root string, capabilities []string) string {
	t.Helper()
	return serveBy(t, limited(t, capabilities, lab.Binary(t), "serve"), root)
}

// serveBy runs an exporter of root, by a command that lacks where to listen, until the test ends, and returns its URL.
func serveBy(t *testing.T, cmd *exec.Cmd, root string) string {
	t.Helper()
	address := freeAddress(t)
	cmd.Args = append(cmd.Args, "--listen", "tcp://"+address, root)
	p := lab.Start(t, cmd)
	lab.Eventually(t, 10*time.Second, func() error {
		select {
		case <-p.Ended():
			t.Fatalf("the exporter ended:\n%s", p.Output())
		default:
		}
		return accepts("tcp", address)
	})
	return "tcp://" + address
}

// freeAddress is one of this host where nobody listened a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// needs holds for each capability of the Deployment what root on a client can do through a mount with it, and cannot without.
// The others are what the exporter does not start without.
var needs = map[string]func(dir string) error{
	"CHOWN": func(dir string) error {
		return os.Chown(made(dir, "given", 0o600), 1000, 1000)
	},
	"DAC_OVERRIDE": func(dir string) error {
		private := filepath.Join(dir, "private")
		if err := os.Mkdir(private, 0o700); err != nil {
			return err
		}
		if err := os.Chown(private, 1000, 1000); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(private, "by-root"), nil, 0o600)
	},
	"FOWNER": func(dir string) error {
		path := made(dir, "theirs", 0o600)
		if err := os.Chown(path, 1000, 1000); err != nil {
			return err
		}
		return os.Chmod(path, 0o640)
	},
	"FSETID": func(dir string) error { // what the kubelet does for fsGroup
		shared := filepath.Join(dir, "shared")
		if err := os.Mkdir(shared, 0o770); err != nil {
			return err
		}
		if err := os.Chown(shared, 0, 2000); err != nil {
			return err
		}
		if err := os.Chmod(shared, 0o770|os.ModeSetgid); err != nil {
			return err
		}
		info, err := os.Stat(shared)
		if err == nil && info.Mode()&os.ModeSetgid == 0 {
			err = fmt.Errorf("the setgid bit is lost: mode %v", info.Mode())
		}
		return err
	},
}

// made makes a file and returns its path.
func made(dir, name string, mode os.FileMode) string {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, nil, mode); err != nil {
		return err.Error()
	}
	return path
}

func TestCapabilitiesSuffice(t *testing.T) {
	capabilities := deployed(t).SecurityContext.Capabilities
	if !slices.Equal(capabilities.Drop, []string{"ALL"}) {
		t.Errorf("the Deployment drops %v, want ALL", capabilities.Drop)
	}
	mount := lab.Mount(t, serve(t, lab.Dir(t), capabilities.Add))
	for name, do := range needs {
		if err := do(mount.Dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEachCapabilityIsNeeded(t *testing.T) {
	all := deployed(t).SecurityContext.Capabilities.Add
	for n, capability := range all {
		rest := slices.Delete(slices.Clone(all), n, n+1)
		t.Run(capability, func(t *testing.T) {
			do, ok := needs[capability]
			if !ok {
				out, err := limited(t, rest, lab.Binary(t), "serve", "--listen", "tcp://127.0.0.1:0", lab.Dir(t)).CombinedOutput()
				if err == nil || !strings.Contains(string(out), "CAP_"+capability) {
					t.Errorf("the exporter starts without (%v), or does not say what it lacks:\n%s", err, out)
				}
				return
			}
			mount := lab.Mount(t, serve(t, lab.Dir(t), rest))
			if do(mount.Dir) == nil {
				t.Error("all goes well without: leave it out of the Deployment")
			}
		})
	}
}
