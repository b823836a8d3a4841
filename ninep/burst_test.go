package ninep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/test/lab"
)

// TestWalkAttrs: each name has an outcome of its own, also of more names than go out at once, whether the server is known to keep the
// order of messages, as it is from the second time on, or not.
func TestWalkAttrs(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	names := []string{"nope", "..", "a/b"}
	for i := range 300 {
		name := fmt.Sprint(i)
		ok(t, os.WriteFile(filepath.Join(g.root, name), make([]byte, i), 0o600))
		names = append(names, name)
	}
	for range 2 {
		found := root.WalkAttrs(testContext(t), names)
		for i, want := range []error{unix.ENOENT, unix.EINVAL, unix.EINVAL} {
			if f := found[i]; f.Fid != nil || !errors.Is(f.Err, want) {
				t.Errorf("%s: %v, want %v", names[i], f.Err, want)
			}
		}
		for i, f := range found[3:] {
			ok(t, f.Err)
			if f.Attr.Size != uint64(i) || f.Fid.Path() != "/"+names[3+i] {
				t.Errorf("%s: %d bytes, path %s", names[3+i], f.Attr.Size, f.Fid.Path())
			}
			ok(t, f.Fid.Clunk(testContext(t)))
		}
	}
	if found := root.WalkAttrs(testContext(t), nil); len(found) != 0 {
		t.Error("no names lead somewhere")
	}
}

// TestWalkAttrsCancelled: what comes after all is not looked at any more, which is for the race detector to say.
func TestWalkAttrsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	flushed := make(chan struct{})
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		switch m.Type() {
		case ninep.TypeTgetattr:
			cancel()
			time.Sleep(20 * time.Millisecond) // the caller leaves meanwhile
			return &ninep.Rgetattr{Attr: ninep.Attr{Valid: ninep.AttrSize, Size: 7}}
		case ninep.TypeTflush:
			close(flushed) // it was sent before that reply, and is read after it
		}
		return pass
	})
	found := root.WalkAttrs(ctx, []string{"a"})
	if f := found[0]; f.Fid != nil || !errors.Is(f.Err, context.Canceled) || f.Attr.Size != 0 {
		t.Errorf("found %+v", f)
	}
	<-flushed
}

// TestWalkOpenKnown: what is opened is the file that the name leads to, and so are the attributes, whatever file the fid is of that it
// is taken to be known by, and on a server that is not known to keep the order of messages. A fid that it was not known by is ended.
func TestWalkOpenKnown(t *testing.T) {
	g := newGate(t)
	content := pattern(7)
	ok(t, os.WriteFile(filepath.Join(g.root, "file"), content, 0o600))
	ok(t, os.WriteFile(filepath.Join(g.root, "other"), make([]byte, 9), 0o600))
	ok(t, os.Link(filepath.Join(g.root, "file"), filepath.Join(g.root, "link")))
	for _, name := range []string{"file", "other", "link", "gone"} {
		s, root := g.open(ninep.Config{})
		ctx := testContext(t)
		ok(t, os.WriteFile(filepath.Join(g.root, "gone"), nil, 0o600))
		known, err := root.Walk(ctx, name)
		ok(t, err)
		ok(t, os.Remove(filepath.Join(g.root, "gone")))
		hints := ninep.OpenHints{Known: func() *ninep.Fid { return known }}
		f, a, err := root.WalkOpen(ctx, "file", unix.O_RDONLY, &hints)
		ok(t, err)
		buf := make([]byte, 10)
		n, err := f.Read(ctx, buf, 0)
		ok(t, err)
		if a.Size != 7 || !bytes.Equal(buf[:n], content) || f.Path() != "/file" {
			t.Errorf("known as %s: %d bytes, read %x of %s", name, a.Size, buf[:n], f.Path())
		}
		if (name == "file") != (f == known) || (name == "file") != (hints.Spare != nil) {
			t.Errorf("known as %s: it is what was opened: %t, another one in its place: %t", name, f == known, hints.Spare != nil)
		}
		if hints.Spare != nil {
			if a, err := hints.Spare.Getattr(ctx, ninep.AttrBasic); err != nil || a.Size != 7 || hints.Spare.IsOpen() {
				t.Errorf("in its place: %d bytes, %v, open %t", a.Size, err, hints.Spare.IsOpen())
			}
			ok(t, hints.Spare.Clunk(ctx))
		}
		ok(t, f.Clunk(ctx))
		lab.Eventually(t, 5*time.Second, func() error {
			if n := s.Stats().Fids; n != 1 {
				return fmt.Errorf("known as %s: %d fids are left", name, n)
			}
			return nil
		})
	}
}
