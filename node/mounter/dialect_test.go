package mounter_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/test/lab"
)

// TestDialectIsTheSessions: volumes of one server share a connection only if they speak the same dialect, and each works.
func TestDialectIsTheSessions(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	dialects := []params.Dialect{params.DialectL, params.DialectU, params.DialectLegacy, params.DialectU}
	for i, d := range dialects {
		id := string(rune('a' + i))
		s := spec(t, e, id, id)
		s.Context.Parameters.Dialect, s.Context.CapacityBytes = d, 1<<30
		mnt := serve(t, m, s)
		defer mnt.unmount(t)
		if err := nodetest.WriteFile(filepath.Join(mnt.dir, "f"), string(d)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(e.Root, id, "f")); err != nil || string(got) != string(d) {
			t.Errorf("%s: %q, %v", d, got, err)
		}
		if usage, err := m.Stats(t.Context(), id); err != nil || usage.Bytes.Total != 1<<30 || usage.Bytes.Available <= 0 {
			t.Errorf("%s: %+v, %v", d, usage, err)
		}
	}
	if n := e.Connections.Load(); n != 3 {
		t.Errorf("%d connections for volumes of %v", n, dialects)
	}
}

// TestServerOfAnotherDialect: which dialect a server lacks is said at once, and after a restart as the reason why it is lost; auto
// takes what there is.
func TestServerOfAnotherDialect(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	s := spec(t, e, "v", "v")
	s.Context.Parameters.Dialect = params.DialectU
	mnt := serve(t, m, s)
	defer mnt.unmount(t)
	e.Kill()
	e.Dialects = []ninep.Dialect{ninep.DialectLegacy}
	e.Start()
	lab.Eventually(t, time.Minute, func() error {
		status, err := m.Status(t.Context(), "v")
		if err == nil && !strings.Contains(status.Lost, `it answered version "9P2000" to "9P2000.u"`) {
			err = errors.New("lost: " + status.Lost)
		}
		return err
	})
	other := spec(t, e, "w", "w")
	other.Context.Parameters.Dialect = params.DialectL
	if err := m.Prepare(t.Context(), other); !errors.Is(err, ninep.ErrDialect) || !strings.Contains(err.Error(), "set the parameter dialect") {
		t.Errorf("9P2000.L: %v", err)
	}
	other.Context.Parameters.Dialect = params.DialectAuto
	if err := m.Prepare(t.Context(), other); err != nil {
		t.Errorf("auto: %v", err)
	}
	e.Kill()
	e.Dialects = nil
	e.Start()
	lab.Eventually(t, time.Minute, func() error {
		status, err := m.Status(t.Context(), "v")
		if err == nil && status.State != mounter.Serving || !status.Connected {
			err = errors.New("not back: " + status.Lost)
		}
		return err
	})
}
