package ninep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestReconnectMidway loses the first, second ... reply to operations of one message and of several: each succeeds all
// the same, and the fid that it leaves works.
func TestReconnectMidway(t *testing.T) {
	g := newGate(t)
	deep := strings.Split(strings.Repeat("d/", 40)+"file", "/")
	ok(t, os.MkdirAll(filepath.Join(g.root, filepath.Join(deep[:40]...)), 0o755))
	ok(t, os.WriteFile(filepath.Join(g.root, filepath.Join(deep...)), []byte("content"), 0o600))
	ok(t, os.WriteFile(filepath.Join(g.root, "file"), []byte("content"), 0o600))
	ok(t, unix.Setxattr(filepath.Join(g.root, "file"), "user.a", []byte("value"), 0))

	for name, operation := range map[string]func(context.Context, *ninep.Fid) error{
		"deep walk": func(ctx context.Context, root *ninep.Fid) error {
			f, err := root.Walk(ctx, deep...)
			return errors.Join(err, has(ctx, f, 7))
		},
		"walk and attributes": func(ctx context.Context, root *ninep.Fid) error {
			f, a, err := root.WalkAttr(ctx, "file")
			if err == nil && a.Size != 7 {
				err = errors.New("wrong attributes")
			}
			return errors.Join(err, has(ctx, f, 7))
		},
		"visit": func(ctx context.Context, root *ninep.Fid) error {
			if _, err := root.Getattr(ctx, ninep.AttrBasic); err != nil {
				return err
			}
			f, a, err := root.WalkOpen(ctx, "file", unix.O_RDONLY, &ninep.OpenHints{})
			if err == nil && (a.Size != 7 || !f.IsOpen()) {
				err = errors.New("wrong attributes, or not open")
			}
			return errors.Join(err, has(ctx, f, 7))
		},
		"open and read": func(ctx context.Context, root *ninep.Fid) error {
			f, err := root.Walk(ctx, "file")
			if err == nil {
				err = f.Open(ctx, unix.O_RDONLY)
			}
			buf := make([]byte, 10)
			n := 0
			if err == nil {
				n, err = f.Read(ctx, buf, 0)
			}
			if err == nil && string(buf[:n]) != "content" {
				err = errors.New("wrong content")
			}
			return err
		},
		"create": func(ctx context.Context, root *ninep.Fid) error {
			defer os.Remove(filepath.Join(g.root, "new"))
			f, err := root.Walk(ctx)
			if err == nil {
				err = f.Create(ctx, "new", unix.O_RDWR|unix.O_EXCL, 0o600, 0)
			}
			if err == nil {
				_, err = f.Write(ctx, []byte("123"), 0)
			}
			return errors.Join(err, has(ctx, f, 3))
		},
		"change": func(ctx context.Context, root *ninep.Fid) error {
			f, a, err := root.WalkAttr(ctx, "file")
			for _, mode := range []uint32{0o640, 0o600} {
				if err == nil {
					a, err = f.Change(ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: mode})
				}
				if err == nil && a.Mode != unix.S_IFREG|mode {
					err = fmt.Errorf("mode %o after a change to %o", a.Mode, mode)
				}
			}
			return err
		},
		"create together": func(ctx context.Context, root *ninep.Fid) error {
			if _, err := root.Getattr(ctx, ninep.AttrBasic); err != nil {
				return err
			}
			return createNew(ctx, g, root)
		},
		"create in turn": func(ctx context.Context, root *ninep.Fid) error { return createNew(ctx, g, root) },
		"xattr": func(ctx context.Context, root *ninep.Fid) error {
			f, err := root.Walk(ctx, "file")
			if err == nil {
				err = f.SetXattr(ctx, "user.b", []byte("other"), ninep.XattrCreate)
			}
			if err != nil {
				return err
			}
			for name, want := range map[string]string{"user.a": "value", "user.b": "other"} {
				got, err := f.GetXattr(ctx, name)
				if err != nil || !bytes.Equal(got, []byte(want)) {
					return errors.Join(err, errors.New(name+" is "+string(got)))
				}
			}
			return f.RemoveXattr(ctx, "user.b")
		},
		"rename there and back": func(ctx context.Context, root *ninep.Fid) error {
			f, err := root.Walk(ctx, "file")
			if err == nil {
				err = root.Rename(ctx, "file", root, "there")
			}
			if err == nil {
				err = root.Rename(ctx, "there", root, "file")
			}
			return errors.Join(err, has(ctx, f, 7))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for nth, done := int32(1), false; !done; nth++ {
				s, root := g.open(ninep.Config{})
				var replies atomic.Int32
				g.interceptReplies(func(p *pair, _ uint16, _ ninep.Message) bool {
					if replies.Add(1) == nth {
						_ = p.client.Close()
						return false
					}
					return true
				})
				if err := operation(testContext(t), root); err != nil {
					t.Errorf("reply %d lost: %v", nth, err)
				}
				done = replies.Load() < nth
				g.interceptReplies(nil)
				ok(t, s.Close())
			}
		})
	}
}

// createNew makes a file, writes it by its fid, and looks at it by all it has.
func createNew(ctx context.Context, g *gate, root *ninep.Fid) error {
	defer os.Remove(filepath.Join(g.root, "new"))
	made, err := root.CreateNew(ctx, "new", unix.O_RDWR, 0o600, 0)
	if err != nil {
		return err
	}
	if made.Attr.QID != made.Open.QID() || made.Attr.Mode != unix.S_IFREG|0o600 || made.Attr.Size != 0 {
		return fmt.Errorf("%+v of %v", made.Attr, made.Open.QID())
	}
	if _, err := made.Open.Write(ctx, []byte("123"), 0); err != nil {
		return err
	}
	return errors.Join(has(ctx, made.Open, 3), has(ctx, made.Path, 3))
}

// TestCreateNewOutOfOrder: in whatever order the replies come to the messages that make a file, its fids are the file's, also on the
// next connection.
func TestCreateNewOutOfOrder(t *testing.T) {
	for _, order := range [][4]int{{0, 1, 2, 3}, {1, 0, 2, 3}, {3, 0, 1, 2}, {3, 2, 1, 0}, {0, 3, 2, 1}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			g := newGate(t)
			s, root := g.open(ninep.Config{})
			ctx := testContext(t)
			must(root.Getattr(ctx, ninep.AttrBasic))(t) // tells that the server keeps order
			var replies [][]byte
			g.interceptReplies(func(p *pair, tag uint16, m ninep.Message) bool {
				if replies = append(replies, frame(t, tag, m)); len(replies) == len(order) {
					for _, i := range order {
						p.raw(replies[i])
					}
				}
				return len(replies) > len(order)
			})
			made := must(root.CreateNew(ctx, "new", unix.O_RDWR, 0o600, 0))(t)
			g.interceptReplies(nil)
			must(made.Open.Write(ctx, []byte("123"), 0))(t)
			g.cut()
			eventually(t, "the server is back", func() bool { st := s.Status(); return st.Connected && st.Reconnects == 1 })
			for _, f := range []*ninep.Fid{made.Open, made.Path} {
				if f == nil {
					t.Fatal("a fid is missing")
				}
				if a := must(f.Getattr(ctx, ninep.AttrBasic))(t); a.Size != 3 || !a.QID.SameFile(f.QID()) || f.Path() != "/new" {
					t.Errorf("%v of %d bytes at %s, recorded as %v", a.QID, a.Size, f.Path(), f.QID())
				}
			}
		})
	}
}

// TestFirstReplyLost loses the connection when all replies to messages sent together have come but that to the walk.
func TestFirstReplyLost(t *testing.T) {
	g := newGate(t)
	ok(t, os.WriteFile(filepath.Join(g.root, "file"), []byte("123"), 0o600))
	for name, operation := range map[string]func(context.Context, *ninep.Fid) (*ninep.Fid, error){
		"open": func(ctx context.Context, root *ninep.Fid) (*ninep.Fid, error) {
			f, _, err := root.WalkOpen(ctx, "file", unix.O_RDWR, &ninep.OpenHints{})
			return f, err
		},
		"create": func(ctx context.Context, root *ninep.Fid) (*ninep.Fid, error) {
			made, err := root.CreateNew(ctx, "new", unix.O_RDWR, 0o600, 0)
			return made.Open, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, root := g.open(ninep.Config{})
			ctx := testContext(t)
			must(root.Getattr(ctx, ninep.AttrBasic))(t) // tells that the server keeps order
			var first, over bool
			g.interceptReplies(func(p *pair, tag uint16, m ninep.Message) bool {
				switch {
				case over:
					return true
				case !first:
					first = true
					return false
				}
				p.raw(frame(t, tag, m))
				if kind := m.Type(); kind == ninep.TypeRlopen || kind == ninep.TypeRwalk { // the last of either
					over = true
					_ = p.client.Close()
				}
				return false
			})
			f := must(operation(ctx, root))(t)
			g.interceptReplies(nil)
			if n, err := f.Write(ctx, []byte("123"), 0); n != 3 || err != nil {
				t.Fatalf("%d bytes written: %v", n, err)
			}
			ok(t, has(ctx, f, 3))
		})
	}
}

// has fails unless the fid's file has that many bytes.
func has(ctx context.Context, f *ninep.Fid, size uint64) error {
	if f == nil {
		return nil
	}
	a, err := f.Getattr(ctx, ninep.AttrBasic)
	if err == nil && a.Size != size {
		err = errors.New("wrong size")
	}
	return err
}

// TestReconnectUnlinked: a file without a name cannot be found again.
func TestReconnectUnlinked(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	ok(t, root.Unlink(ctx, "f", false))
	must(f.Write(ctx, []byte("still there"), 0))(t)
	ok(t, os.WriteFile(filepath.Join(g.root, "f"), nil, 0o600))
	g.cut()
	eventually(t, "a reconnect", func() bool { return s.Status().Reconnects == 1 })
	if _, err := f.Write(ctx, []byte("not there"), 0); !errors.Is(err, unix.ESTALE) {
		t.Errorf("write to an unlinked file after a reconnect: %v", err)
	}
	if _, err := root.Getattr(ctx, ninep.AttrBasic); err != nil {
		t.Error(err)
	}
}

// TestAttachAs: who attaches to what is what the options say, now and after a reconnect.
func TestAttachAs(t *testing.T) {
	g := newGate(t)
	seen := make(chan ninep.Tattach, 10)
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		if a, ok := m.(*ninep.Tattach); ok {
			seen <- *a
		}
		return true
	})
	s, _ := g.open(ninep.Config{})
	<-seen
	root, err := s.Attach(testContext(t), ninep.AttachOptions{UID: 1234, Uname: "me", Aname: "/"})
	ok(t, err)
	is := func(a ninep.Tattach) bool {
		return a.UID == 1234 && a.Uname == "me" && a.Aname == "/" && a.Afid == ninep.NoFID
	}
	if a := <-seen; !is(a) {
		t.Errorf("%+v", a)
	}
	g.cut()
	eventually(t, "a reconnect", func() bool { return s.Status().Reconnects == 1 })
	if a, b := <-seen, <-seen; is(a) == is(b) {
		t.Errorf("after the reconnect: %+v and %+v", a, b)
	}
	must(root.Walk(testContext(t)))(t)
	if _, err := s.Attach(testContext(t), ninep.AttachOptions{Aname: "/no/such/tree"}); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/no/such/tree") {
		t.Errorf("attach to a tree that is not there: %v", err)
	}
}
