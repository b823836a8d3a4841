package topology_test

import (
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/topology"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newMounter serves devices with these tags as a mounter does, each by its URL
// for an aname: a server whose tree has such directories. It returns its socket.
func newMounter(t *testing.T, tags ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, tag := range tags {
		if err := os.MkdirAll(filepath.Join(root, "virtio:", tag), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := server.New(server.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, func(l net.Listener) { _ = s.Serve(context.Background(), l) }, s.Close)
}

// listen serves a socket until the test ends.
func listen(t *testing.T, serve func(net.Listener), stop func() error) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "topology-") // shorter than t.TempDir: it is a socket's
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "9p")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); serve(listener) }()
	t.Cleanup(func() {
		_ = stop()
		_ = listener.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return path
}

func node(t *testing.T, mounter string, urls ...string) *topology.Node {
	t.Helper()
	shares, err := topology.ParseShares(urls)
	if err != nil {
		t.Fatal(err)
	}
	return &topology.Node{Mounter: mounter, Shares: shares}
}

// keys are the keys of a topology, in order.
func keys(at *csi.Topology) []string { return slices.Sorted(maps.Keys(at.GetSegments())) }

func TestNodeHasItsShares(t *testing.T) {
	mounter := newMounter(t, "share0", "share1")
	both, err := node(t, mounter, "virtio://share0", "virtio://share1").Topology(t.Context())
	if err != nil || len(both.GetSegments()) != 2 {
		t.Fatalf("got %v, %v", both, err)
	}
	for key, value := range both.GetSegments() {
		id, found := strings.CutPrefix(key, "share.csi-9p.dev/")
		if _, err := uuid.Parse(id); !found || err != nil || value != "true" {
			t.Errorf("segment %s=%s", key, value)
		}
	}
	again, err := node(t, mounter, "virtio://share1", "virtio://share0").Topology(t.Context())
	if err != nil || !slices.Equal(keys(both), keys(again)) {
		t.Errorf("first %v, then %v, %v", keys(both), keys(again), err)
	}
	if none, err := node(t, "").Topology(t.Context()); none != nil || err != nil {
		t.Errorf("without shares: %v, %v", none, err)
	}
}

// A share that cannot be asked fails the answer, which would hold for long.
func TestNodeCannotAsk(t *testing.T) {
	if got, err := node(t, "/nowhere/9p", "virtio://share0").Topology(t.Context()); driver.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "csi-9p mounter") {
		t.Errorf("without a mounter: %v, %v", got, err)
	}
	got, err := node(t, newMounter(t, "share0"), "virtio://share0", "virtio://share1").Topology(t.Context())
	if err == nil || !strings.Contains(err.Error(), "virtio://share1") {
		t.Errorf("with a share that is refused: %v, %v", got, err)
	}
	for errno, code := range map[unix.Errno]codes.Code{unix.EHOSTUNREACH: codes.Unavailable, unix.EBUSY: codes.FailedPrecondition} {
		got, err := node(t, newRefusal(t, errno), "virtio://share0").Topology(t.Context())
		if driver.Code(err) != code || !strings.Contains(err.Error(), "see the log of csi-9p mounter") {
			t.Errorf("with %v: %v, %v", errno, got, err)
		}
	}
}

// A share that was there is told again when nobody can ask it: the kubelet may
// have been restarted, and has to know the driver to end pods.
func TestNodeRemembers(t *testing.T) {
	mounter := newMounter(t, "share0")
	n := node(t, mounter, "virtio://share0")
	before, err := n.Topology(t.Context())
	if err != nil || len(before.GetSegments()) != 1 {
		t.Fatalf("got %v, %v", before, err)
	}
	if err := os.Remove(mounter); err != nil {
		t.Fatal(err)
	}
	after, err := n.Topology(t.Context())
	if err != nil || !slices.Equal(keys(before), keys(after)) {
		t.Errorf("with the mounter away: %v, %v; it was %v", after, err, before)
	}
	if got, err := node(t, mounter, "virtio://share0").Topology(t.Context()); err == nil {
		t.Errorf("told by another process: %v", got)
	}
}

// A device that the node does not have is no part of its topology, and no error;
// a node without any has a topology all the same, in which no volume is.
func TestNodeWithoutDevice(t *testing.T) {
	mounter := newRefusal(t, unix.ENODEV)
	got, err := node(t, mounter, "virtio://share0").Topology(t.Context())
	if err != nil || !slices.Equal(keys(got), []string{"share.csi-9p.dev/none"}) || topology.Has(got, topology.Of(uuid.New())) {
		t.Errorf("got %v, %v", got, err)
	}
}

// newRefusal is a mounter that refuses every attach.
func newRefusal(t *testing.T, errno unix.Errno) (path string) {
	t.Helper()
	return listen(t, func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			refuse(conn, errno)
		}
	}, func() error { return nil })
}

// refuse speaks 9P on a connection just enough to answer every request but
// Tversion with errno.
func refuse(conn net.Conn, errno unix.Errno) {
	defer conn.Close()
	head := make([]byte, 7) // size[4] type[1] tag[2]
	for {
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(head)-7)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		reply := slices.Concat(head, body) // Tversion: agreed
		if reply[4]++; head[4] != byte(ninep.TypeTversion) {
			reply = binary.LittleEndian.AppendUint32(append(reply[:0], 11, 0, 0, 0, byte(ninep.TypeRlerror), head[5], head[6]), uint32(errno))
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

func TestShares(t *testing.T) {
	for _, bad := range [][]string{{"share0"}, {"virtio://a", "virtio://a"}, {"tcp://h", "tcp://h:564/"}} {
		if got, err := topology.ParseShares(bad); err == nil {
			t.Errorf("%q: taken for %v", bad, got)
		}
	}
}

func TestAllows(t *testing.T) {
	a, b := uuid.New(), uuid.New()
	volume := topology.Of(a)
	for _, test := range []struct {
		name        string
		requirement *csi.TopologyRequirement
		volume      *csi.Topology
		want        bool
	}{
		{"nothing asked", nil, volume, true},
		{"everywhere", &csi.TopologyRequirement{Requisite: []*csi.Topology{topology.Of(b)}}, nil, true},
		{"its share", &csi.TopologyRequirement{Requisite: []*csi.Topology{topology.Of(a)}}, volume, true},
		{"one of two", &csi.TopologyRequirement{Requisite: []*csi.Topology{topology.Of(b), topology.Of(a, b)}}, volume, true},
		{"preferred elsewhere", &csi.TopologyRequirement{Preferred: []*csi.Topology{topology.Of(b)}}, volume, true},
		{"elsewhere", &csi.TopologyRequirement{Requisite: []*csi.Topology{topology.Of(b)}}, volume, false},
		{"nowhere", &csi.TopologyRequirement{Requisite: []*csi.Topology{topology.Of()}}, volume, false},
	} {
		if got := topology.Allows(test.requirement, test.volume); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
