package ninep_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// glance waits for the answer to a question.
func glance(start func(*ninep.Glance)) *ninep.Glance {
	g := &ninep.Glance{}
	done := make(chan struct{})
	g.Done = func(*ninep.Glance) { close(done) }
	start(g)
	<-done
	return g
}

// TestGlance: the attributes are the fid's, the qid is what the name leads to by now, and no fid is left over.
func TestGlance(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	path := func(name string) string { return filepath.Join(g.root, name) }
	ok(t, os.WriteFile(path("file"), []byte("content"), 0o600))
	ok(t, os.Mkdir(path("dir"), 0o700))
	ok(t, os.WriteFile(path("dir/x"), nil, 0o600))
	for _, name := range []string{"file", "dir"} {
		f := must(root.Walk(ctx, name))(t)
		fids := s.Stats().Fids
		for range 3 {
			if a := glance(f.StartGetattr); a.Err != nil || a.Attr.QID != f.QID() {
				t.Errorf("%s: %+v, error %v; want %v", name, a.Attr, a.Err, f.QID())
			}
			a := glance(func(q *ninep.Glance) { f.StartLookup(q, root, name) })
			if a.Err != nil || a.Attr.QID != f.QID() || a.QID != f.QID() {
				t.Errorf("%s: %+v, leads to %v, error %v; want %v", name, a.Attr, a.QID, a.Err, f.QID())
			}
		}
		ok(t, os.Rename(path(name), path("was "+name)))
		if a := glance(func(q *ninep.Glance) { f.StartLookup(q, root, name) }); !errors.Is(a.Err, unix.ENOENT) {
			t.Errorf("%s, renamed: error %v", name, a.Err)
		}
		ok(t, os.Mkdir(path(name), 0o700)) // where a walk that means to stop short may go on
		ok(t, os.WriteFile(path(name+"/x"), nil, 0o600))
		if a := glance(func(q *ninep.Glance) { f.StartLookup(q, root, name) }); a.Err != nil || a.Attr.QID.Path != f.QID().Path || a.QID.Path == f.QID().Path {
			t.Errorf("%s, another: %+v, leads to %v, error %v", name, a.Attr, a.QID, a.Err)
		}
		eventually(t, "the fids are back", func() bool { return s.Stats().Fids == fids })
	}
	if a := glance(func(q *ninep.Glance) { root.StartLookup(q, root, "..") }); a.Err == nil {
		t.Error("a name that is none has been looked up")
	}
}

// TestGlanceWithoutServer: a question ends with its connection, and is not put while there is none.
func TestGlanceWithoutServer(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	f := must(root.Walk(testContext(t)))(t)
	h := g.hold(ninep.TypeTgetattr)
	done := make(chan error, 1)
	f.StartGetattr(&ninep.Glance{Done: func(a *ninep.Glance) { done <- a.Err }})
	eventually(t, "Tgetattr", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.tags) > 0 })
	g.kill()
	if err := <-done; !errors.Is(err, ninep.ErrGlance) {
		t.Errorf("the connection died: %v", err)
	}
	if a := glance(f.StartGetattr); !errors.Is(a.Err, ninep.ErrGlance) {
		t.Errorf("without a connection: %v", a.Err)
	}
}
