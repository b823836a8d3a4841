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

// TestWalkLongNames: names of which MaxWalk are more than the smallest msize holds.
func TestWalkLongNames(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{Msize: ninep.MinMsize})
	ctx := testContext(t)
	var names []string
	dir := root
	for i := range ninep.MaxWalk + 4 {
		name := strings.Repeat(string(rune('a'+i)), ninep.MaxName)
		must(dir.Mkdir(ctx, name, 0o700, 0))(t)
		dir = must(dir.Walk(ctx, name))(t)
		names = append(names, name)
	}
	f := must(root.Walk(ctx, names...))(t)
	if f.QID() != dir.QID() {
		t.Errorf("walked to %v, want %v", f.QID(), dir.QID())
	}
	g.cut()
	eventually(t, "a reconnect", func() bool { return s.Status().Reconnects == 1 })
	must(f.Getattr(ctx, ninep.AttrBasic))(t)
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

// TestWalkAttr: the right attributes of what is walked to.
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

// TestVisitInTurn: diod crashes of a message about a fid whose Twalk is under way, so none is sent before Rwalk to a server of
// which nothing is known.
func TestVisitInTurn(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	visiting(t, g, root, func(sent <-chan ninep.MsgType) {
		// Whatever was sent together with the walk stands before this in the pipe.
		_, err := root.Statfs(testContext(t))
		ok(t, err)
		if got := <-sent; got != ninep.TypeTstatfs {
			t.Errorf("%v was sent before Rwalk", got)
		}
	})
}

// TestVisitTogether: our exporter, known by its attributes, gets all messages of a visit at once.
func TestVisitTogether(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	_, err := root.Getattr(testContext(t), ninep.AttrBasic)
	ok(t, err)
	if got := s.Features().InOrder; got != ninep.Supported {
		t.Errorf("InOrder is %d", got)
	}
	visiting(t, g, root, func(sent <-chan ninep.MsgType) {
		for _, want := range []ninep.MsgType{ninep.TypeTgetattr, ninep.TypeTlopen} {
			if got := <-sent; got != want {
				t.Errorf("%v was sent, want %v", got, want)
			}
		}
	})
}

// visiting visits a file, and has meanwhile called while the server has not got the Twalk; sent is what else is sent.
func visiting(t *testing.T, g *gate, root *ninep.Fid, meanwhile func(sent <-chan ninep.MsgType)) {
	t.Helper()
	ok(t, os.WriteFile(filepath.Join(g.root, "f"), make([]byte, 7), 0o600))
	type held struct {
		pair *pair
		tag  uint16
		m    ninep.Message
	}
	walked, sent, later := make(chan struct{}), make(chan ninep.MsgType, 10), make(chan held, 10)
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		switch m.Type() {
		case ninep.TypeTwalk:
			close(walked)
		case ninep.TypeTstatfs:
			sent <- m.Type()
			return true
		default:
			sent <- m.Type()
		}
		later <- held{p, tag, m}
		return false
	})
	done := make(chan error)
	go func() {
		f, a, err := root.WalkOpen(testContext(t), "f", unix.O_RDONLY, &ninep.OpenHints{})
		if err == nil && (a.Size != 7 || !f.IsOpen()) {
			err = fmt.Errorf("%+v, open %t", a, f.IsOpen())
		}
		done <- err
	}()
	<-walked
	meanwhile(sent)
	g.intercept(nil)
	for len(later) > 0 {
		h := <-later
		h.pair.request(h.tag, h.m)
	}
	ok(t, <-done)
}

// TestVisitRefused: what is wrong with a name or with opening it is told, whether the server was asked at once or in turn.
func TestVisitRefused(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ok(t, os.Symlink("anywhere", filepath.Join(g.root, "link")))
	ctx := testContext(t)
	for range 2 {
		if _, _, err := root.WalkOpen(ctx, "nope", unix.O_RDONLY, &ninep.OpenHints{}); !errors.Is(err, unix.ENOENT) {
			t.Errorf("a missing name: %v", err)
		}
		f, a, err := root.WalkOpen(ctx, "link", unix.O_RDONLY, &ninep.OpenHints{})
		ok(t, err)
		if a.Mode&unix.S_IFMT != unix.S_IFLNK || f.IsOpen() {
			t.Errorf("mode %o, open %t", a.Mode, f.IsOpen())
		}
		if err := f.Open(ctx, unix.O_RDONLY); !errors.Is(err, unix.ELOOP) {
			t.Errorf("opening a symbolic link: %v", err)
		}
		f.Drop()
		d, err := root.CloneOpen(ctx, unix.O_RDONLY|unix.O_DIRECTORY)
		ok(t, err)
		if !d.IsOpen() {
			t.Error("the clone is not open")
		}
		d.Drop()
	}
}

// TestCreateNew: a new file is had in as few round trips as the server allows; a name that is taken is told, touches nothing and
// leaves no fid.
func TestCreateNew(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		g := newGate(t)
		s, root := g.open(ninep.Config{})
		ctx := testContext(t)
		if ordered {
			must(root.Getattr(ctx, ninep.AttrBasic))(t)
		}
		ok(t, os.WriteFile(filepath.Join(g.root, "taken"), []byte("content"), 0o600))
		before := must(os.Stat(g.root))(t)
		fids := s.Stats().Fids
		for _, name := range []string{"taken", "a/b", "", ".."} {
			want := unix.EINVAL
			if name == "taken" {
				want = unix.EEXIST
			}
			if _, err := root.CreateNew(ctx, name, unix.O_RDWR|unix.O_TRUNC, 0o600, 0); !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", name, err, want)
			}
		}
		if after := must(os.Stat(g.root))(t); after.Mode() != before.Mode() || after.ModTime() != before.ModTime() {
			t.Errorf("the directory was %v and is %v", before, after)
		}
		if content := must(os.ReadFile(filepath.Join(g.root, "taken")))(t); string(content) != "content" {
			t.Errorf("the file that was there: %q", content)
		}
		eventually(t, "the fids are back", func() bool { return s.Stats().Fids == fids })
		made := must(root.CreateNew(ctx, "new", unix.O_RDWR, 0o640, 0))(t)
		if made.Attr.Mode != unix.S_IFREG|0o640 || !made.Open.IsOpen() || ordered && made.Path == nil {
			t.Errorf("mode %o, open %t, another fid %v", made.Attr.Mode, made.Open.IsOpen(), made.Path)
		}
		if made.Path != nil && (made.Path.IsOpen() || made.Path.QID() != made.Open.QID()) {
			t.Errorf("the other fid is of %v, open %t", made.Path.QID(), made.Path.IsOpen())
		}
	}
}

// TestWalkedNumberRests: the number of a cancelled walk is not used again while the walk may still bind it, nor before
// the Rclunk that follows when it did.
func TestWalkedNumberRests(t *testing.T) {
	for name, answered := range map[string]bool{"answered before Rflush": true, "never answered": false} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			_, root := g.open(ninep.Config{})
			h, tag, flush := walkHeld(t, g, root)
			walk := h.first().(*ninep.Twalk)
			var seen newFids
			type clunk struct {
				pair *pair
				tag  uint16
				m    *ninep.Tclunk
			}
			clunks := make(chan clunk, 1)
			g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
				seen.see(m)
				if m, ok := m.(*ninep.Tclunk); ok && m.Fid == walk.NewFid {
					clunks <- clunk{p, tag, m}
					return false
				}
				return true
			})
			rests := func(when string) {
				t.Helper()
				f := must(root.Walk(testContext(t)))(t)
				if seen.last() == walk.NewFid {
					t.Errorf("fid %d was used again %s", walk.NewFid, when)
				}
				ok(t, f.Clunk(testContext(t)))
			}
			rests("while its walk is under way")
			if answered {
				h.pair.request(tag, walk)
			} else {
				h.pair.reply(flush, &ninep.Rflush{})
			}
			c := <-clunks
			rests("before Rclunk")
			c.pair.request(c.tag, c.m)
			if answered {
				h.pair.reply(flush, &ninep.Rflush{})
			}
			eventually(t, "the number", func() bool {
				f := must(root.Walk(testContext(t)))(t)
				defer f.Drop()
				return seen.last() == walk.NewFid
			})
		})
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
