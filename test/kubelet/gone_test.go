package kubelet_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/csi-9p/csi-9p/test/lab"
)

// deletion is the time in which the pods of a server that is gone for good can
// be deleted and its volume be unstaged.
const deletion = time.Minute

// waits are the works of pods that wait for the server each in another way.
var waits = []string{"read", "write", "sync", "close", "dirty"}

// A server gone for good, under pods that wait for it in every way there is:
// all of them end, their volumes are unpublished and unstaged in time, a volume
// of another server is not disturbed, and with the server back all is well.
func TestServerGoneForGood(t *testing.T) {
	for name, s := range map[string]struct {
		lose   func(*testing.T, *lab.Server)
		revive func(*testing.T, *lab.Server)
	}{
		"killed": {
			func(t *testing.T, s *lab.Server) { s.Kill(t) },
			func(t *testing.T, s *lab.Server) {
				at, err := url.Parse(s.URL)
				must(t, err)
				lab.ExporterAt(t, "tcp://"+at.Host, s.Root)
			},
		},
		"frozen": {
			func(t *testing.T, s *lab.Server) { s.Signal(t, syscall.SIGSTOP) },
			func(t *testing.T, s *lab.Server) { s.Signal(t, syscall.SIGCONT) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			n := newNode(t)
			v := n.volume("gone", lab.Exporter(t, lab.Dir(t)))
			other := n.volume("other", lab.Exporter(t, lab.Dir(t)))
			must(t, v.stage(t.Context()), other.stage(t.Context()))
			witness := other.pod("verify")
			pods := make([]*pod, 0, len(waits))
			for _, work := range waits {
				pods = append(pods, v.pod(work))
			}
			v.bindSubPath(waits[0])

			s.lose(t, v.server)
			lost := time.Now()
			v.askedForStats(waits[0])
			v.delete(pods...)
			if took := time.Since(lost); took > deletion {
				t.Errorf("all was gone %v after the server, want %v at most", took, deletion)
			}
			witness.busy(t)

			v.refusesToStage()
			s.revive(t, v.server)
			must(t, untilDone(t.Context(), v.stage))
			again := v.pod("verify")
			again.finish(t)
			witness.finish(t)
			v.delete(again)
			other.delete(witness)
			n.holdsNothing()
		})
	}
}

// askedForStats asks for the volume's figures, as the kubelet does all the time.
func (v *volume) askedForStats(pod string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 10*time.Second) // else it is the test's own deadline
	defer cancel()
	_, err := v.NodeGetVolumeStats(ctx, &csi.NodeGetVolumeStatsRequest{VolumeId: v.id, VolumePath: v.target(pod)})
	if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
		v.t.Errorf("asked for its figures: %v, want Unavailable or DeadlineExceeded", err)
	}
}

// bindSubPath does what the kubelet does for a container with a subPath.
func (v *volume) bindSubPath(pod string) {
	v.t.Helper()
	must(v.t, os.Mkdir(filepath.Join(v.root(), "sub"), 0o755), os.Mkdir(v.subPath(pod), 0o755),
		unix.Mount(filepath.Join(v.target(pod), "sub"), v.subPath(pod), "", unix.MS_BIND, ""))
}

// unmountDevice is the kubelet's: it looks at the staging directory (GetDeviceMountRefs), unstages, and removes it.
func (v *volume) unmountDevice() {
	v.t.Helper()
	must(v.t, unix.Stat(v.staging(), &unix.Stat_t{}), v.unstage(v.t.Context()), unix.Rmdir(v.staging()))
}

// refusesToStage stages the volume while its server is gone.
func (v *volume) refusesToStage() {
	v.t.Helper()
	must(v.t, os.Mkdir(v.staging(), 0o755))
	ctx, cancel := context.WithTimeout(v.t.Context(), 2*time.Minute) // the kubelet's csiTimeout
	defer cancel()
	if err := v.stage(ctx); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), v.server.URL) {
		v.t.Errorf("staged while the server is gone: %v, want Unavailable, and the server's name", err)
	}
}

// finish has a verifying pod check all that it wrote, and ends it.
func (p *pod) finish(t *testing.T) {
	t.Helper()
	p.busy(t)
	p.Signal(t, syscall.SIGTERM)
	if err := p.Wait(time.Minute); err != nil {
		t.Errorf("the verifying pod: %v\n%s", err, p.Output())
	}
}
