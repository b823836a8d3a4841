package ninep_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// newFids records the numbers that Twalk wants bound.
type newFids struct {
	mu      sync.Mutex
	numbers []ninep.FID
}

func (n *newFids) see(m ninep.Message) {
	if w, ok := m.(*ninep.Twalk); ok {
		n.mu.Lock()
		n.numbers = append(n.numbers, w.NewFid)
		n.mu.Unlock()
	}
}

func (n *newFids) last() ninep.FID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.numbers[len(n.numbers)-1]
}

// TestFidNumbers: the lowest free number is taken, and one is free when Rclunk is here, not before, even if the answer
// is an error.
func TestFidNumbers(t *testing.T) {
	var seen newFids
	var hold chan struct{}
	answer := any(&ninep.Rclunk{})
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		seen.see(m)
		if m.Type() == ninep.TypeTclunk {
			if hold != nil {
				<-hold
			}
			return answer
		}
		return pass
	})
	ctx := testContext(t)
	a, b := must(root.Walk(ctx))(t), must(root.Walk(ctx))(t)
	second := seen.last()
	ok(t, a.Clunk(ctx))
	c := must(root.Walk(ctx))(t)
	if third := seen.last(); third != second-1 {
		t.Errorf("fid %d taken where %d was free", third, second-1)
	}
	answer = &ninep.Rlerror{Errno: uint32(unix.EIO)}
	if err := b.Clunk(ctx); !errors.Is(err, unix.EIO) {
		t.Errorf("clunk: %v", err)
	}
	if err := b.Clunk(ctx); !errors.Is(err, unix.EBADF) {
		t.Errorf("clunk it again: %v", err)
	}
	b.Drop()
	if _, err := b.Getattr(ctx, ninep.AttrBasic); !errors.Is(err, unix.EBADF) {
		t.Errorf("getattr after clunk: %v", err)
	}
	must(root.Walk(ctx))(t)
	if got := seen.last(); got != second {
		t.Errorf("fid %d after an Rclunk that was an error, want %d", got, second)
	}
	_ = c
}

// TestFidNotReusedBeforeRclunk holds Tclunk back and walks: the number must rest.
func TestFidNotReusedBeforeRclunk(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ctx := testContext(t)
	var seen newFids
	h := make(chan func(), 1)
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		seen.see(m)
		if c, ok := m.(*ninep.Tclunk); ok {
			h <- func() { p.request(tag, c) }
			return false
		}
		return true
	})
	a := must(root.Walk(ctx))(t)
	number := seen.last()
	a.Drop()
	release := <-h
	must(root.Walk(ctx))(t)
	if seen.last() == number {
		t.Errorf("fid %d used again before Rclunk", number)
	}
	release()
	eventually(t, "the number's return", func() bool { must(root.Walk(ctx))(t); return seen.last() == number })
}

// TestClunkWaitsForCalls: Tclunk follows the reply to what is under way on the fid.
func TestClunkWaitsForCalls(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	h := g.hold(ninep.TypeTgetattr)
	done := make(chan error)
	for range 2 {
		go func() { _, err := f.Getattr(ctx, ninep.AttrBasic); done <- err }()
	}
	eventually(t, "Tgetattr", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.tags) == 2 })
	f.Drop()
	for _, tag := range h.tags {
		// The round trip lets a Tclunk arrive that should not be there.
		_, err := root.Statfs(ctx)
		ok(t, err)
		if n := g.count(ninep.TypeTclunk); n != 0 {
			t.Error("Tclunk overtook a call on its fid")
		}
		h.pair.request(tag, h.first())
		ok(t, <-done)
	}
	eventually(t, "Tclunk", func() bool { return g.count(ninep.TypeTclunk) == 1 })
}

// TestWalkLeavesNothing: however a walk fails, no fid stays behind on the server.
func TestWalkLeavesNothing(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	deep := strings.Split(strings.Repeat("d/", 40)+"d", "/")
	ok(t, os.MkdirAll(filepath.Join(g.root, filepath.Join(deep...)), 0o755))
	ok(t, os.WriteFile(filepath.Join(g.root, "file"), nil, 0o600))

	f := must(root.Walk(ctx, deep...))(t)
	if want := "/" + strings.Join(deep, "/"); f.Path() != want {
		t.Errorf("path %s, want %s", f.Path(), want)
	}
	if n := g.count(ninep.TypeTwalk); n != 3 {
		t.Errorf("%d messages for a walk of 41 names, want 3", n)
	}
	var seen newFids
	g.intercept(func(_ *pair, _ uint16, m ninep.Message) bool { seen.see(m); return true })
	must(root.Walk(ctx))(t)
	next := seen.last() + 1
	for _, names := range [][]string{{"nope"}, {"d", "nope"}, append(slices.Clone(deep), "nope"), {"file", "x"}, {"d", "d", "d", "nope", "x"}} {
		if _, err := root.Walk(ctx, names...); !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("walk %v: %v", names, err)
		}
	}
	eventually(t, "every number's return", func() bool {
		w := must(root.Walk(ctx))(t)
		defer func() { ok(t, w.Clunk(ctx)) }()
		return seen.last() == next
	})
	_ = s
}

// TestNames: what is no name never reaches the server.
func TestNames(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ctx := testContext(t)
	before := g.count(ninep.TypeTwalk)
	for name, want := range map[string]unix.Errno{
		"": unix.EINVAL, ".": unix.EINVAL, "..": unix.EINVAL, "a/b": unix.EINVAL, "/": unix.EINVAL, "a\x00": unix.EINVAL,
		strings.Repeat("n", 256): unix.ENAMETOOLONG,
	} {
		for op, err := range map[string]error{
			"walk":     second(root.Walk(ctx, "ok", name)),
			"walkattr": func() error { _, _, err := root.WalkAttr(ctx, name); return err }(),
			"create":   root.Create(ctx, name, 0, 0, 0),
			"mkdir":    second(root.Mkdir(ctx, name, 0, 0)),
			"symlink":  second(root.Symlink(ctx, name, "t", 0)),
			"mknod":    second(root.Mknod(ctx, name, 0, 0, 0, 0)),
			"link":     root.Link(ctx, root, name),
			"rename":   root.Rename(ctx, "ok", root, name),
			"rename 2": root.Rename(ctx, name, root, "ok"),
			"unlink":   root.Unlink(ctx, name, false),
		} {
			if !errors.Is(err, want) {
				t.Errorf("%s %q: %v, want %v", op, name, err, want)
			}
		}
	}
	if n := g.count(ninep.TypeTwalk) - before; n != 0 {
		t.Errorf("%d walks sent", n)
	}
	longest := strings.Repeat("n", 255)
	must(root.Mkdir(ctx, longest, 0o700, 0))(t)
	must(root.Walk(ctx, longest))(t)
}

func second[T any](_ T, err error) error { return err }

// TestOpenFid: an open fid is neither walked from nor opened again.
func TestOpenFid(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Open(ctx, unix.O_RDONLY|unix.O_DIRECTORY))
	if _, err := f.Walk(ctx, "x"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("walk from an open fid: %v", err)
	}
	if err := f.Open(ctx, unix.O_RDONLY); !errors.Is(err, unix.EINVAL) {
		t.Errorf("open it again: %v", err)
	}
	if err := f.Create(ctx, "x", unix.O_RDWR, 0o600, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("create in an open directory's fid: %v", err)
	}
}

// TestRemoveEndsTheFid: whatever Tremove brings, the fid is gone and no Tclunk follows.
func TestRemoveEndsTheFid(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ctx := testContext(t)
	ok(t, os.Mkdir(filepath.Join(g.root, "full"), 0o755))
	ok(t, os.WriteFile(filepath.Join(g.root, "full", "file"), nil, 0o600))
	full, file := must(root.Walk(ctx, "full"))(t), must(root.Walk(ctx, "full", "file"))(t)
	if err := full.Remove(ctx); !errors.Is(err, unix.ENOTEMPTY) {
		t.Errorf("remove a directory that is not empty: %v", err)
	}
	ok(t, file.Remove(ctx))
	for _, f := range []*ninep.Fid{full, file} {
		if err := f.Clunk(ctx); !errors.Is(err, unix.EBADF) {
			t.Errorf("clunk after remove: %v", err)
		}
	}
	if n := g.count(ninep.TypeTclunk); n != 0 {
		t.Errorf("%d Tclunk after Tremove", n)
	}
}

// TestFidLimit: nfs-ganesha's table has an end, and refuses numbers beyond it.
func TestFidLimit(t *testing.T) {
	const most = 10
	refused := 0
	s, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		if w, ok := m.(*ninep.Twalk); ok && w.NewFid >= most {
			refused++
			return &ninep.Rerror{Errno: uint32(unix.ERANGE)}
		}
		return pass
	})
	ctx := testContext(t)
	var fids []*ninep.Fid
	for i := 1; i < most; i++ {
		fids = append(fids, must(root.Walk(ctx))(t))
	}
	if _, err := root.Walk(ctx); !errors.Is(err, unix.ERANGE) {
		t.Errorf("walk beyond: %v", err)
	}
	for range 3 {
		if _, err := root.Walk(ctx); !errors.Is(err, unix.ENFILE) {
			t.Errorf("walk further beyond: %v", err)
		}
	}
	if refused != 1 || s.Features().MaxFids != most {
		t.Errorf("asked %d times, learned %d", refused, s.Features().MaxFids)
	}
	ok(t, fids[3].Clunk(ctx))
	must(root.Walk(ctx))(t)
}

// TestWalkAttr: one round trip where the server keeps the order, two where it does not, the right attributes always.
func TestWalkAttr(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ctx := testContext(t)
	for i := range 20 {
		ok(t, os.WriteFile(filepath.Join(g.root, fmt.Sprint(i)), make([]byte, i), 0o600))
	}
	for i := range 20 {
		f, a, err := root.WalkAttr(ctx, fmt.Sprint(i))
		ok(t, err)
		if a.Size != uint64(i) || !a.QID.SameFile(f.QID()) || f.Path() != fmt.Sprint("/", i) {
			t.Errorf("%d: %+v", i, a)
		}
		f.Drop()
	}
	if _, _, err := root.WalkAttr(ctx, "nope"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("error %v", err)
	}
}

// TestWalkAttrDisorder: a server that meets Tgetattr before its fid is bound is asked in sequence from then on.
func TestWalkAttrDisorder(t *testing.T) {
	bound, hasty := map[ninep.FID]bool{}, 0
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		if a, ok := m.(*ninep.Tgetattr); ok {
			if !bound[a.Fid] {
				hasty++
				bound[a.Fid] = true
				return &ninep.Rlerror{Errno: uint32(unix.EBADF)}
			}
			return &ninep.Rgetattr{Attr: ninep.Attr{Valid: ninep.AttrSize, Size: 7}}
		}
		return pass
	})
	for range 5 {
		_, a, err := root.WalkAttr(testContext(t), "f")
		if err != nil || a.Size != 7 {
			t.Fatalf("%+v, %v", a, err)
		}
		if hasty == 1 {
			bound = map[ninep.FID]bool{2: true, 3: true, 4: true, 5: true, 6: true}
		}
	}
	if hasty != 1 {
		t.Errorf("%d times too early", hasty)
	}
}

// TestSessionClosed: calls on a closed session fail, and ending fids is still harmless.
func TestSessionClosed(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	f := must(root.Walk(testContext(t)))(t)
	ok(t, s.Close())
	ctx := context.Background()
	for name, err := range map[string]error{
		"getattr": second(f.Getattr(ctx, ninep.AttrBasic)), "walk": second(f.Walk(ctx)),
		"read": second(f.Read(ctx, make([]byte, 1), 0)), "attach": second(s.Attach(ctx, ninep.AttachOptions{})),
	} {
		if !errors.Is(err, ninep.ErrClosed) || !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ok(t, f.Clunk(ctx))
	root.Drop()
}
