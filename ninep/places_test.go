package ninep

import (
	"strings"
	"testing"
)

func at(t *testing.T, tr *tree, p *place) string {
	t.Helper()
	now, then, ok := tr.names(p)
	if !ok {
		return "gone"
	}
	path := strings.Join(now, "/")
	if other := strings.Join(then, "/"); other != path {
		path += " or " + other
	}
	return path
}

func TestPlacesFollowRenames(t *testing.T) {
	var tr tree
	root := tr.root("/")
	a, b := tr.walk(root, []string{"a"}), tr.walk(root, []string{"b"})
	file := tr.walk(a, []string{"dir", "file"})
	target := tr.walk(b, []string{"target"})
	is := func(p *place, want string) {
		t.Helper()
		if got := at(t, &tr, p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	is(file, "a/dir/file")
	if same := tr.walk(root, []string{"a", "dir", "file"}); same != file {
		t.Error("two places of one name")
	} else {
		tr.drop(same)
	}

	end := tr.moving(a, "dir", b, "moved")
	is(file, "a/dir/file or b/moved/file")
	tr.move(a, "dir", b, "moved")
	end()
	is(file, "b/moved/file")

	dir := tr.walk(b, []string{"moved"})
	tr.move(dir, "file", b, "target")
	is(file, "b/target")
	is(target, "gone")
	tr.move(b, "target", b, "target")
	is(file, "b/target")

	tr.remove(b, "target")
	is(file, "gone")
	tr.move(a, "unknown", b, "moved")
	is(dir, "gone")

	// Two renames under way may make a loop of each other: both ends are then nowhere, and nobody walks for ever.
	x, y := tr.walk(root, []string{"x"}), tr.walk(root, []string{"y"})
	endX, endY := tr.moving(root, "x", y, "in"), tr.moving(root, "y", x, "in")
	is(x, "x or ")
	endX()
	endY()

	for _, p := range []*place{a, b, file, target, dir, x, y, root} {
		tr.drop(p)
	}
	if len(tr.roots) != 0 || root.refs != 0 || len(root.children) != 0 {
		t.Errorf("left behind: %d roots, %d references, %d children", len(tr.roots), root.refs, len(root.children))
	}
}

func TestHeldLocks(t *testing.T) {
	f := &Fid{}
	is := func(want ...Lock) {
		t.Helper()
		if len(f.locks) != len(want) {
			t.Fatalf("%+v, want %+v", f.locks, want)
		}
		for i := range want {
			if f.locks[i] != want[i] {
				t.Errorf("%+v, want %+v", f.locks[i], want[i])
			}
		}
	}
	f.locked(Lock{Type: WriteLock, Start: 0, Length: 100, ProcID: 1})
	f.locked(Lock{Type: Unlock, Start: 40, Length: 20, ProcID: 1})
	is(Lock{WriteLock, 0, 40, 1, ""}, Lock{WriteLock, 60, 40, 1, ""})
	f.locked(Lock{Type: Unlock, Start: 0, ProcID: 2})
	is(Lock{WriteLock, 0, 40, 1, ""}, Lock{WriteLock, 60, 40, 1, ""})
	f.locked(Lock{Type: ReadLock, Start: 30, ProcID: 1})
	is(Lock{WriteLock, 0, 30, 1, ""}, Lock{ReadLock, 30, 0, 1, ""})
	f.locked(Lock{Type: Unlock, Start: 50, Length: 10, ProcID: 1})
	is(Lock{WriteLock, 0, 30, 1, ""}, Lock{ReadLock, 30, 20, 1, ""}, Lock{ReadLock, 60, 0, 1, ""})
	f.locked(Lock{Type: Unlock, ProcID: 1})
	is()
	f.locked(Lock{Type: WriteLock, Start: 10, Length: 1<<64 - 5, ProcID: 1})
	f.locked(Lock{Type: Unlock, Start: 1 << 40, ProcID: 1})
	is(Lock{WriteLock, 10, 1<<40 - 10, 1, ""})
}
