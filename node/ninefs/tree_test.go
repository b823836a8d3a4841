package ninefs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

func dirAttr(path uint64) ninep.Attr {
	return ninep.Attr{QID: ninep.QID{Type: ninep.QTDir, Path: path}, Mode: unix.S_IFDIR | 0o755, Nlink: 2}
}

func fileAttr(path, links uint64) ninep.Attr {
	return ninep.Attr{QID: ninep.QID{Path: path}, Mode: unix.S_IFREG | 0o644, Nlink: links}
}

func testTree(t *testing.T) *tree {
	t.Helper()
	tree, err := newTree(dirAttr(1), func(*node) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

func enter(t *testing.T, tree *tree, a ninep.Attr, dir *node, name string) *node {
	t.Helper()
	n, err := tree.enter(a, dir, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func alive(tree *tree) (n int) {
	tree.each(func(*node) { n++ })
	return n
}

func TestHardLinksShareANode(t *testing.T) {
	tree := testTree(t)
	a := enter(t, tree, fileAttr(7, 2), tree.root, "a")
	b := enter(t, tree, fileAttr(7, 2), tree.root, "b")
	if a != b || a.rec.Lookups != 2 {
		t.Errorf("nodes %d and %d, with %d lookups, want one with 2", a.id, b.id, a.rec.Lookups)
	}
	tree.removed(tree.root, "b", func(*node) {})
	if c := enter(t, tree, fileAttr(7, 1), tree.root, "a"); c != a {
		t.Error("another node after one of two links was removed")
	}
}

// TestNamesOfHardLinks: each name of a file leads on when another goes or moves.
func TestNamesOfHardLinks(t *testing.T) {
	tree := testTree(t)
	n := enter(t, tree, fileAttr(7, 1), tree.root, "a")
	tree.linked(n, fileAttr(7, 2), tree.root, "c")
	if moved := tree.moved(tree.root, "a", tree.root, "d", func(*node) {}); moved != n {
		t.Fatal("the rename of the older name moved nothing")
	}
	tree.removed(tree.root, "c", func(*node) { t.Error("a file with another name is said to have none") })
	if dir, name := tree.where(n); dir != tree.root || name != "d" {
		t.Errorf("it is %q, want d", name)
	}
	nameless := false
	tree.removed(tree.root, "d", func(*node) { nameless = true })
	if !nameless {
		t.Error("a file without a name is not said to have none")
	}
	if dir, name := tree.where(n); dir != nil {
		t.Errorf("without a name it is %q", name)
	}
	tree.forget(n.id, n.rec.Lookups)
	if left := alive(tree); left != 1 || tree.root.rec.Children != 0 {
		t.Errorf("%d nodes left, %d children of the root", left, tree.root.rec.Children)
	}
}

// TestStrayedName: a name that no longer leads to its file gives way to another that does.
func TestStrayedName(t *testing.T) {
	tree := testTree(t)
	n := enter(t, tree, fileAttr(7, 2), tree.root, "a")
	enter(t, tree, fileAttr(7, 2), tree.root, "b")
	if !tree.strayed(n, place{indexOf(tree.root.id), "b"}) {
		t.Fatal("no other name is known")
	}
	if _, name := tree.where(n); name != "a" {
		t.Errorf("it is %q, want a", name)
	}
	if tree.strayed(n, place{indexOf(tree.root.id), "a"}) {
		t.Error("the last name was given up")
	}
}

// TestNumberOfARemovedFile: a server gives the number of a removed file to the next.
func TestNumberOfARemovedFile(t *testing.T) {
	tree := testTree(t)
	a := enter(t, tree, fileAttr(7, 1), tree.root, "a")
	tree.removed(tree.root, "a", func(*node) {})
	b := enter(t, tree, fileAttr(7, 1), tree.root, "b")
	if a == b {
		t.Error("a removed file and a new one are one node")
	}
	if b.rec.Ino != 7 {
		t.Errorf("inode %d, want 7", b.rec.Ino)
	}
}

// TestUnlikeFilesOfOneNumber: servers that export several devices can give unlike files one path.
func TestUnlikeFilesOfOneNumber(t *testing.T) {
	tree := testTree(t)
	file := enter(t, tree, fileAttr(7, 1), tree.root, "file")
	fifo := fileAttr(7, 1)
	fifo.Mode = unix.S_IFIFO | 0o600
	if enter(t, tree, fifo, tree.root, "fifo") == file {
		t.Error("a file and a pipe are one node")
	}
	dir := enter(t, tree, dirAttr(9), tree.root, "x")
	a := dirAttr(9)
	if s := tree.suspect(a, tree.root, "y", nil); s != dir {
		t.Fatalf("a directory in two places is not suspicious: %v", s)
	}
	tree.unhold(dir)
	twin, err := tree.enter(a, tree.root, "y", []*node{dir})
	if err != nil || twin == dir || twin.rec.Ino == dir.rec.Ino {
		t.Errorf("twins: nodes %d and %d with inodes %d and %d (%v)", twin.id, dir.id, twin.rec.Ino, dir.rec.Ino, err)
	}
}

// TestEndedNode: who still holds a node that has ended learns nothing of the one that has its record by then, and no fid is
// kept for it.
func TestEndedNode(t *testing.T) {
	tree := testTree(t)
	old := enter(t, tree, dirAttr(2), tree.root, "old")
	tree.forget(old.id, 1)
	successor := enter(t, tree, dirAttr(3), tree.root, "new")
	if indexOf(successor.id) != indexOf(old.id) {
		t.Fatal("the record was not used again")
	}
	if dir, name := tree.where(old); dir != nil {
		t.Errorf("a node that has ended is said to be %q", name)
	}
	if tree.under(old, tree.root) {
		t.Error("a node that has ended is said to be below the root")
	}
	cache := NewFidCache(8)
	cache.end(old)
	cache.add(old, 0, new(ninep.Fid))
	if cache.has(old, 0) || cache.used.Len() > 0 {
		t.Error("a fid of a node that has ended is kept")
	}
}

// TestTurnedRound: another client put a directory below the one that was below it.
func TestTurnedRound(t *testing.T) {
	tree := testTree(t)
	a := enter(t, tree, dirAttr(2), tree.root, "a")
	b := enter(t, tree, dirAttr(3), a, "b")
	enter(t, tree, dirAttr(2), b, "a")
	if tree.under(b, a) && tree.under(a, b) {
		t.Error("each of two directories is below the other")
	}
}

// TestSuccessorFindsNodes: another process that is handed the memfd knows every node by id, name and file.
func TestSuccessorFindsNodes(t *testing.T) {
	tree := testTree(t)
	dir := enter(t, tree, dirAttr(2), tree.root, "dir")
	want := map[uint64]string{1: "", dir.id: "dir"}
	for i := range 20_000 {
		name := fmt.Sprint("file-", i)
		want[enter(t, tree, fileAttr(uint64(100+i), 1), dir, name).id] = name
	}
	fd, err := unix.FcntlInt(tree.table.File().Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	successor, err := OpenTable[nodeRecord](os.NewFile(uintptr(fd), "nodes"), maxNodes)
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	successor.Each(func(id uint64, r *nodeRecord) bool {
		name, ok := want[id]
		if !ok || r.name() != name || id > 1 && r.Lookups != 1 {
			t.Errorf("id %#x is %q with %d lookups, want %q", id, r.name(), r.Lookups, name)
		}
		if id != 1 && id != dir.id && r.Parent != indexOf(dir.id) {
			t.Errorf("%q is in %d, want %d", r.name(), r.Parent, indexOf(dir.id))
		}
		delete(want, id)
		return !t.Failed()
	})
	if len(want) > 0 && !t.Failed() {
		t.Errorf("%d nodes were not found", len(want))
	}
}

// TestForgetIsExact: whatever happens to names, a node lives until as many lookups were forgotten as were given, and no longer.
func TestForgetIsExact(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		tree := testTree(t)
		lookups := map[uint64]uint64{}
		dirs := []*node{tree.root}
		give := func(n *node) { lookups[n.id]++ }
		for range 300 {
			dir, name := dirs[rng.IntN(len(dirs))], fmt.Sprint(rng.IntN(8))
			switch number := 10 + rng.Uint64N(20); rng.IntN(7) {
			case 0, 1:
				give(enter(t, tree, fileAttr(number, 1+rng.Uint64N(2)), dir, name))
			case 2:
				if len(dirs) < 10 {
					n := enter(t, tree, dirAttr(uint64(100+len(dirs))), dir, name)
					give(n)
					dirs = append(dirs, n)
				}
			case 3:
				n, err := tree.create(fileAttr(number, 1), dir, name)
				if err != nil {
					t.Fatal(err)
				}
				give(n)
			case 4:
				to := dirs[rng.IntN(len(dirs))]
				if n := tree.named(dir, name); n == nil || !tree.under(to, n) { // else it is EINVAL
					tree.moved(dir, name, to, fmt.Sprint(rng.IntN(8)), func(*node) {})
				}
			case 5:
				tree.removed(dir, name, func(*node) {})
			case 6:
				for id, count := range lookups {
					if n := tree.get(id); n == nil {
						t.Fatalf("seed %d: node %#x is gone with %d lookups left", seed, id, count)
					}
					if n := tree.get(id); !n.rec.isDir() {
						tree.forget(id, count)
						delete(lookups, id)
					}
					break
				}
			}
		}
		for id, count := range lookups {
			tree.forget(id, count)
		}
		if n := alive(tree); n != 1 || len(tree.byPlace) != 0 || len(tree.byKey) != 1 {
			t.Fatalf("seed %d: %d nodes, %d names, %d numbers are left, want the root's", seed, n, len(tree.byPlace), len(tree.byKey))
		}
	}
}

// TestFileWithoutType: the kernel refuses a file whose type it does not know, and forgets no lookup of it.
func TestFileWithoutType(t *testing.T) {
	tree := testTree(t)
	a := fileAttr(7, 1)
	a.Mode &^= unix.S_IFMT
	if _, err := tree.enter(a, tree.root, "f", nil); !errors.Is(err, unix.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
	if left := alive(tree); left != 1 {
		t.Errorf("%d nodes left", left)
	}
}

// TestLateAnswer: what the server said of a name before a write ended tells nothing about the file's size.
func TestLateAnswer(t *testing.T) {
	tree := testTree(t)
	fs := &FS{tree: tree}
	n := enter(t, tree, fileAttr(7, 1), tree.root, "f")
	known := fs.knownAs(tree.root, "f")
	n.wrote(25, false)
	var out fuse.EntryOut
	if err := fs.found(known, fileAttr(7, 1), tree.root, "f", &out); err != nil {
		t.Fatal(err)
	}
	if size := n.known().Size; size != 25 {
		t.Errorf("%d bytes, want 25", size)
	}
}

// TestPartedWithoutLinks: a server that counts no links does not give a removed file four thousand million.
func TestPartedWithoutLinks(t *testing.T) {
	tree := testTree(t)
	n := enter(t, tree, fileAttr(7, 0), tree.root, "f")
	n.part(fileAttr(7, 0))
	if a, ok := n.parted(); !ok || a.Nlink != 0 {
		t.Errorf("%d links", a.Nlink)
	}
}
