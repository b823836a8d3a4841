package mounter_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
)

// onlyServer returns the statistics of the one server that there is.
func onlyServer(t *testing.T, vs *mounter.Volumes) driver.ServerStats {
	t.Helper()
	all := vs.ServerStats()
	if len(all) != 1 {
		t.Fatalf("%d servers: %+v", len(all), all)
	}
	return all[0]
}

// answered counts the calls that were answered.
func answered(s driver.ServerStats) (n uint64) {
	for _, c := range s.Calls {
		n += c.Latency.Count()
	}
	return n
}

// TestServerStatsNeverFall: sessions with one server are added up, and what one has counted stays when it goes before
// the others: a sum that falls looks like a restart of the process.
func TestServerStatsNeverFall(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	a := serve(t, m, spec(t, e, "a", "a"))
	impatient := spec(t, e, "b", "b")
	impatient.Context.Parameters.ReconnectTimeout = time.Second
	b := serve(t, m, impatient)
	if err := nodetest.WriteFile(filepath.Join(b.dir, "f"), "hello"); err != nil {
		t.Fatal(err)
	}
	both := onlyServer(t, m.Volumes())
	if both.Connected != 2 || both.Lost != 0 || both.Server != e.URL || both.Sent.Copied+both.Sent.Placed != 5 ||
		both.Fids == 0 || both.ArenaLimit == 0 {
		t.Errorf("two sessions: %+v", both)
	}
	b.unmount(t)
	if err := m.Release(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	nodetest.Eventually(t, "the session is closed", func() bool { return onlyServer(t, m.Volumes()).Connected == 1 })
	one := onlyServer(t, m.Volumes())
	if answered(one) < answered(both) || one.Sent != both.Sent || one.Fids >= both.Fids {
		t.Errorf("after the end of one: %+v", one)
	}
	a.unmount(t)
	if err := m.Release(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	nodetest.Eventually(t, "nothing is left", func() bool { return len(m.Volumes().ServerStats()) == 0 })
	c := serve(t, m, spec(t, e, "c", "c"))
	if s := onlyServer(t, m.Volumes()); s.Sent.Copied+s.Sent.Placed != 0 {
		t.Errorf("a new session begins with %+v", s.Sent)
	}
	c.unmount(t)
}

// TestVolumeStats: of the volumes that are there, what they are and what was asked of them.
func TestVolumeStats(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	mnt := serve(t, m, spec(t, e, "v", "v"))
	if err := m.Prepare(t.Context(), spec(t, e, "w", "w")); err != nil {
		t.Fatal(err)
	}
	if err := nodetest.WriteFile(filepath.Join(mnt.dir, "f"), "hello"); err != nil {
		t.Fatal(err)
	}
	byID := map[string]mounter.VolumeStats{}
	for _, s := range m.Volumes().VolumeStats() {
		byID[s.Spec.VolumeID] = s
	}
	if v := byID["v"]; len(byID) != 2 || v.State != mounter.Serving || v.Requests.Written != 5 || v.Session != e.URL || !v.Connected {
		t.Errorf("%d volumes, v: %+v", len(byID), v)
	}
	if w := byID["w"]; w.State != mounter.Prepared || len(w.Requests.Requests) != 0 {
		t.Errorf("w: %+v", w)
	}
	mnt.unmount(t)
}
