package usage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/node/usage"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start counts until the test ends.
func start(t *testing.T, root *ninep.Fid, o usage.Options) *usage.Scanner {
	t.Helper()
	s := usage.Start(t.Context(), root, o)
	t.Cleanup(s.Stop)
	return s
}

// counted waits for a count that the condition holds of.
func counted(t *testing.T, s *usage.Scanner, what string, holds func(usage.Count) bool) usage.Count {
	t.Helper()
	var count usage.Count
	nodetest.Eventually(t, what, func() bool {
		var known bool
		count, known = s.Last(t.Context())
		return known && holds(count)
	})
	return count
}

func whatever(usage.Count) bool { return true }

// du counts a local tree as du(1) does.
func du(t *testing.T, root string) (count usage.Count) {
	t.Helper()
	seen := map[uint64]bool{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if !seen[st.Ino] {
			seen[st.Ino] = true
			count.Inodes++
			count.Bytes += st.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// tree makes directories, files with several names, a sparse one and a symbolic
// link that leads out of the tree.
func tree(t *testing.T, root string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	deep := root
	for i := range 20 { // more than one Twalk can carry
		deep = filepath.Join(deep, fmt.Sprintf("level-%d", i))
		must(os.Mkdir(deep, 0o755))
		must(os.WriteFile(filepath.Join(deep, "f"), make([]byte, 3000*i), 0o600))
	}
	must(os.Link(filepath.Join(deep, "f"), filepath.Join(root, "second-name")))
	must(os.Symlink("/usr", filepath.Join(root, "out")))
	must(os.Symlink(".", filepath.Join(root, "loop")))
	must(os.WriteFile(filepath.Join(root, "sparse"), nil, 0o600))
	must(os.Truncate(filepath.Join(root, "sparse"), 1<<40))
	for i := range 2000 { // more than one Rreaddir can carry
		must(os.WriteFile(filepath.Join(root, "level-0", fmt.Sprintf("file-with-a-long-name-%d", i)), nil, 0o600))
	}
}

func TestCountsAsDuDoes(t *testing.T) {
	e := nodetest.Export(t)
	tree(t, e.Root)
	want := du(t, e.Root)
	got := counted(t, start(t, nodetest.Attach(t, e), usage.Options{Budget: 1}), "the tree is counted", whatever)
	if got.Inodes != want.Inodes || got.Bytes != want.Bytes || got.Time.IsZero() {
		t.Errorf("counted %+v, want %d bytes in %d inodes", got, want.Bytes, want.Inodes)
	}
}

func TestWhoAsksGetsFreshFigures(t *testing.T) {
	e := nodetest.Export(t)
	s := start(t, nodetest.Attach(t, e), usage.Options{Interval: time.Hour, Budget: 1})
	counted(t, s, "the empty tree is counted", func(c usage.Count) bool { return c.Inodes == 1 })
	if err := os.WriteFile(filepath.Join(e.Root, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	counted(t, s, "the new file is counted", func(c usage.Count) bool { return c.Inodes == 2 })
}

func TestFilesThatGoMeanwhile(t *testing.T) {
	e := nodetest.Export(t)
	tree(t, e.Root)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = os.RemoveAll(filepath.Join(e.Root, "level-0"))
	}()
	counted(t, start(t, nodetest.Attach(t, e), usage.Options{Budget: 1}), "the tree is counted while it goes", whatever)
	<-gone
	left := counted(t, start(t, nodetest.Attach(t, e), usage.Options{Budget: 1}), "what is left is counted", whatever)
	if want := du(t, e.Root); left.Inodes != want.Inodes {
		t.Errorf("counted %d inodes, want %d", left.Inodes, want.Inodes)
	}
}

func TestStopWaitsForNoLostServer(t *testing.T) {
	e := nodetest.Export(t)
	tree(t, e.Root)
	root := nodetest.Attach(t, e)
	s := usage.Start(t.Context(), root, usage.Options{Budget: 0.01})
	e.Kill()
	s.Stop()
	if _, known := s.Last(t.Context()); known {
		t.Error("a count was completed without a server")
	}
}
