package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/node"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"google.golang.org/grpc/codes"
)

// told is a mounter that tells what the test says.
type told struct {
	node.Mounter
	volumes []mounter.Status
	err     error
}

func (m *told) List(context.Context) ([]mounter.Status, error) { return m.volumes, m.err }

func (m *told) Status(context.Context, string) (mounter.Status, error) {
	if m.err != nil {
		return mounter.Status{}, m.err
	}
	return m.volumes[0], nil
}

// away is a volume whose server is lost for so long.
func away(server string, since time.Duration) mounter.Status {
	s := mounter.Status{State: mounter.Serving, Since: time.Now().Add(-since), Lost: "connection refused"}
	s.Spec.Server = server
	s.Spec.Context.Parameters.ReconnectTimeout = 5 * time.Minute
	return s
}

func TestVolumeHealth(t *testing.T) {
	const server = "tcp://nas/tank"
	for name, c := range map[string]struct {
		mounter told
		status  csi.VolumeHealthErrorType
		reason  string
		says    []string
	}{
		"well":        {told{volumes: []mounter.Status{{Connected: true}}}, 0, "", nil},
		"just lost":   {told{volumes: []mounter.Status{away(server, time.Second)}}, csi.VolumeHealthErrorType_DEGRADED, "SessionReconnecting", []string{server, "connection refused", "5m"}},
		"lost":        {told{volumes: []mounter.Status{away(server, time.Hour)}}, csi.VolumeHealthErrorType_INACCESSIBLE, "ServerUnreachable", []string{server, "connection refused", "see whether"}},
		"no mounter":  {told{err: mounter.ErrUnreachable}, csi.VolumeHealthErrorType_INACCESSIBLE, "MounterUnreachable", []string{"no mounter answers"}},
		"no deadline": {told{err: context.DeadlineExceeded}, csi.VolumeHealthErrorType_INACCESSIBLE, "MounterUnreachable", nil},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := service(t, &c.mounter, "").NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "v"})
			if err != nil || response.GetVolumeHealth().GetVolumeId() != "v" {
				t.Fatal(response, err)
			}
			all := response.GetVolumeHealth().GetHealthStatuses()
			if c.reason == "" {
				if len(all) != 0 {
					t.Error(all)
				}
				return
			}
			if len(all) != 1 || all[0].GetStatus() != c.status || all[0].GetReason() != c.reason {
				t.Fatal(all)
			}
			for _, text := range c.says {
				if !strings.Contains(all[0].GetMessage(), text) {
					t.Errorf("%q does not say %q", all[0].GetMessage(), text)
				}
			}
		})
	}
}

// A volume that is not here does not exist, one whose mounter has ended is there and dead.
func TestHealthOfDeadMounts(t *testing.T) {
	k := newKubelet(t)
	health := func() ([]*csi.VolumeHealth_VolumeHealthEntry, error) {
		response, err := k.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "dead-or-alive"})
		return response.GetVolumeHealth().GetHealthStatuses(), err
	}
	_, err := health()
	code(t, err, codes.NotFound)
	k.must(k.stage("dead-or-alive"))
	if all, err := health(); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
	k.mounter.Kill()
	k.mounter.Start()
	if all, err := health(); err != nil || len(all) != 1 || all[0].GetReason() != "MountNotServed" {
		t.Error(all, err)
	}
	k.must(k.unstage("dead-or-alive"))
	_, err = k.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{})
	code(t, err, codes.InvalidArgument)
}

// The loss of a server under a mounted volume shows, and its return.
func TestHealthOfALostServer(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"))
	reasons := func() string {
		response, err := k.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "v"})
		k.must(err)
		var all []string
		for _, e := range response.GetVolumeHealth().GetHealthStatuses() {
			all = append(all, e.GetReason())
		}
		return strings.Join(all, " ")
	}
	k.exporter.Kill()
	nodetest.Eventually(t, "the loss shows", func() bool { return reasons() == "SessionReconnecting" })
	k.exporter.Start()
	nodetest.Eventually(t, "the return shows", func() bool { return reasons() == "" })
	k.must(k.unstage("v"))
}

func TestStorageHealth(t *testing.T) {
	ask := func(m told) []*csi.NodeGetStorageHealthResponse_StorageBackendHealth {
		response, err := service(t, &m, "").NodeGetStorageHealth(t.Context(), &csi.NodeGetStorageHealthRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return response.GetBackendHealth()
	}
	if all := ask(told{volumes: []mounter.Status{{Connected: true}, away("tcp://b", time.Second)}}); len(all) != 0 {
		t.Error(all)
	}
	lost := []mounter.Status{away("tcp://b", time.Hour), away("tcp://a", time.Hour), away("tcp://b", time.Hour)}
	if all := ask(told{volumes: lost}); len(all) != 1 || all[0].GetReason() != "ServerUnreachable" || !strings.Contains(all[0].GetMessage(), "tcp://a, tcp://b") {
		t.Error(all)
	}
	if all := ask(told{err: errors.New("broken")}); len(all) != 1 || all[0].GetReason() != "MounterUnreachable" {
		t.Error(all)
	}
}
