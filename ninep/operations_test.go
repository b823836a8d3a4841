package ninep_test

import (
	"bytes"
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
	"github.com/csi-9p/csi-9p/transport"
)

// TestShortAnswers: a short Rread or Rwrite is no end. The end of a file is an Rread of nothing.
func TestShortAnswers(t *testing.T) {
	content := pattern(10000)
	var mu sync.Mutex
	written := make([]byte, len(content))
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		switch m := m.(type) {
		case *ninep.Tread:
			rest := content[min(m.Offset, uint64(len(content))):]
			return &ninep.Rread{Data: rest[:min(len(rest), int(m.Count), 777)]}
		case *ninep.Twrite:
			mu.Lock()
			defer mu.Unlock()
			return &ninep.Rwrite{Count: uint32(copy(written[m.Offset:], m.Data[:min(len(m.Data), 1234)]))}
		}
		return pass
	})
	ctx := testContext(t)
	for _, c := range []struct{ off, ask, want int }{{0, 10000, 10000}, {5, 5000, 5000}, {9000, 5000, 1000}, {10000, 1, 0}, {20000, 9, 0}, {0, 0, 0}} {
		buf := make([]byte, c.ask)
		n, err := root.Read(ctx, buf, int64(c.off))
		if n != c.want || err != nil || !bytes.Equal(buf[:n], content[min(c.off, 10000):][:n]) {
			t.Errorf("%+v: %d, %v", c, n, err)
		}
	}
	if n, err := root.Write(ctx, content, 0); n != len(content) || err != nil || !bytes.Equal(written, content) {
		t.Errorf("Write = %d, %v", n, err)
	}
}

// TestPartialTransfers: with an error in the middle, N is what was done before it, whatever was done behind it.
func TestPartialTransfers(t *testing.T) {
	const unit = 64<<10 - 24
	s, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		switch m := m.(type) {
		case *ninep.Tread:
			if m.Offset >= 2*unit {
				return &ninep.Rlerror{Errno: uint32(unix.EIO)}
			}
			return &ninep.Rread{Data: make([]byte, m.Count)}
		case *ninep.Twrite:
			if m.Offset >= 3*unit && m.Offset%(2*unit) == unit {
				return &ninep.Rlerror{Errno: uint32(unix.ENOSPC)}
			}
			return &ninep.Rwrite{Count: uint32(len(m.Data))}
		}
		return pass
	})
	if s.MaxPayload() != unit {
		t.Fatalf("payload %d", s.MaxPayload())
	}
	buf := make([]byte, 40*unit)
	if n, err := root.Read(testContext(t), buf, 0); n != 2*unit || !errors.Is(err, unix.EIO) {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, err := root.Write(testContext(t), buf, 0); n != 3*unit || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Write = %d, %v", n, err)
	}
}

// TestWriteOfNothing: a server that takes no byte of a write is not asked for ever.
func TestWriteOfNothing(t *testing.T) {
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		if m.Type() == ninep.TypeTwrite {
			return &ninep.Rwrite{}
		}
		return pass
	})
	if n, err := root.Write(testContext(t), []byte("x"), 0); n != 0 || !errors.Is(err, unix.EIO) {
		t.Errorf("Write = %d, %v", n, err)
	}
}

// TestPayloadCap: a volume's cap bounds its messages, and its fids' only; many are in flight at a time.
func TestPayloadCap(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{Msize: 1 << 20})
	ctx := testContext(t)
	capped, err := s.Attach(ctx, ninep.AttachOptions{Aname: "/", MaxPayload: 8 << 10, Flow: transport.NewFlow(16 << 10)})
	ok(t, err)
	f := must(capped.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	want := pattern(100 << 10)
	must(f.Write(ctx, want, 0))(t)
	if n := g.count(ninep.TypeTwrite); n != 13 {
		t.Errorf("%d messages of 8 KiB for 100 KiB", n)
	}
	if f.MaxPayload() != 8<<10 || root.MaxPayload() != s.MaxPayload() {
		t.Errorf("caps %d and %d", f.MaxPayload(), root.MaxPayload())
	}
	got := make([]byte, len(want))
	if n, err := f.Read(ctx, got, 0); n != len(want) || err != nil || !bytes.Equal(got, want) {
		t.Errorf("Read = %d, %v", n, err)
	}
}

// TestGetattrValid: a field that the server does not vouch for is zero, whatever is in its place.
func TestGetattrValid(t *testing.T) {
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		if a, ok := m.(*ninep.Tgetattr); ok {
			full := ninep.Attr{Mode: unix.S_IFREG | 0o644, UID: 1, GID: 2, Nlink: 3, Rdev: 4, Size: 5, BlockSize: 6, Blocks: 7,
				Atime: ninep.Timespec{Sec: 8}, Mtime: ninep.Timespec{Sec: 9}, Ctime: ninep.Timespec{Sec: 10},
				Btime: ninep.Timespec{Sec: 11, Nsec: 12}, Gen: 13, DataVersion: 14}
			full.Valid = a.Mask
			return &ninep.Rgetattr{Attr: full}
		}
		return pass
	})
	a, err := root.Getattr(t.Context(), ninep.AttrSize|ninep.AttrMtime)
	ok(t, err)
	if want := (ninep.Attr{Valid: ninep.AttrSize | ninep.AttrMtime, Size: 5, BlockSize: 6, Mtime: ninep.Timespec{Sec: 9}}); a != want {
		t.Errorf("%+v", a)
	}
}

// TestAttributes reads and changes attributes of a real file.
func TestAttributes(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	ok(t, f.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetMode | ninep.SetSize, Mode: 0o640, Size: 12345}))
	ok(t, f.Setattr(ctx, ninep.SetAttr{
		Valid: ninep.SetAtime | ninep.SetAtimeGiven | ninep.SetMtime | ninep.SetMtimeGiven,
		Atime: ninep.Timespec{Sec: 1000, Nsec: 1}, Mtime: ninep.Timespec{Sec: 2000, Nsec: 2},
	}))
	a := must(f.Getattr(ctx, ninep.AttrBasic))(t)
	if a.Mode != unix.S_IFREG|0o640 || a.Size != 12345 || a.Atime.Sec != 1000 || a.Mtime != (ninep.Timespec{Sec: 2000, Nsec: 2}) {
		t.Errorf("%+v", a)
	}
	ok(t, f.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetAtime}))
	if a := must(f.Getattr(ctx, ninep.AttrBasic))(t); a.Atime.Sec < 1e9 || a.Mtime.Sec != 2000 {
		t.Errorf("atime set to the server's now: %+v", a)
	}
	ok(t, f.Fsync(ctx, true))
	if st := must(f.Statfs(ctx))(t); st.BlockSize == 0 || st.Blocks == 0 || s.Features().Statfs != ninep.Supported {
		t.Errorf("%+v", st)
	}
	for name, want := range map[string]string{"short": "some where", "long": strings.Repeat("x/", 2000)} {
		must(root.Symlink(ctx, name, want, 0))(t)
		if target := must(must(root.Walk(ctx, name))(t).Readlink(ctx))(t); target != want {
			t.Errorf("target %q", target)
		}
	}
}

// TestUnlink says of files and directories which they are.
func TestUnlink(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	must(root.Mkdir(ctx, "dir", 0o755, 0))(t)
	must(root.Mknod(ctx, "fifo", unix.S_IFIFO|0o600, 0, 0, 0))(t)
	if err := root.Unlink(ctx, "dir", false); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a directory as a file: %v", err)
	}
	if err := root.Unlink(ctx, "fifo", true); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file as a directory: %v", err)
	}
	ok(t, root.Unlink(ctx, "dir", true))
	ok(t, root.Unlink(ctx, "fifo", false))
	if left, err := os.ReadDir(g.root); len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if f := s.Features(); f.Unlinkat != ninep.Supported {
		t.Errorf("learned %+v", f)
	}
}

// TestReaddir reads a large directory in small steps, each from the cookie of the last entry.
func TestReaddir(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ctx := testContext(t)
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprintf("entry-%03d", i))
		ok(t, os.WriteFile(filepath.Join(g.root, want[i]), nil, 0o600))
	}
	f := must(root.Walk(ctx))(t)
	ok(t, f.Open(ctx, unix.O_RDONLY|unix.O_DIRECTORY))
	var got []string
	buf := make([]byte, 1000)
	for offset := uint64(0); ; {
		data := must(f.Readdir(ctx, offset, buf))(t)
		if len(data) == 0 {
			break
		}
		for len(data) > 0 {
			d, rest, err := ninep.NextDirent(data)
			ok(t, err)
			if d.Name != "." && d.Name != ".." {
				got = append(got, d.Name)
			}
			data, offset = rest, d.Offset
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
}

// TestXattr writes, lists, reads and removes attributes of up to the most that Linux takes.
func TestXattr(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{Msize: 8 << 10})
	ctx := testContext(t)
	ok(t, os.WriteFile(filepath.Join(g.root, "f"), nil, 0o600))
	if err := unix.Setxattr(filepath.Join(g.root, "f"), "user.probe", nil, 0); err != nil {
		t.Fatalf("the tests' temporary directory takes no user attributes: %v", err)
	}
	ok(t, unix.Removexattr(filepath.Join(g.root, "f"), "user.probe"))
	f := must(root.Walk(ctx, "f"))(t)
	large := pattern(20 << 10)
	if err := unix.Setxattr(filepath.Join(g.root, "f"), "user.large", large, 0); err != nil {
		large = large[:1000] // ext4 keeps attributes in one block
	}
	ok(t, f.SetXattr(ctx, "user.large", large, 0))
	ok(t, f.SetXattr(ctx, "user.a", []byte("1"), ninep.XattrCreate))
	if err := f.SetXattr(ctx, "user.a", []byte("2"), ninep.XattrCreate); !errors.Is(err, unix.EEXIST) {
		t.Errorf("create it again: %v", err)
	}
	if err := f.SetXattr(ctx, "user.b", []byte("2"), ninep.XattrReplace); !errors.Is(err, unix.ENODATA) {
		t.Errorf("replace what is not there: %v", err)
	}
	if got := must(f.GetXattr(ctx, "user.large"))(t); !bytes.Equal(got, large) {
		t.Errorf("%d bytes, want %d", len(got), len(large))
	}
	names := must(f.ListXattr(ctx))(t)
	slices.Sort(names)
	if !slices.Equal(names, []string{"user.a", "user.large"}) {
		t.Errorf("names %q", names)
	}
	ok(t, f.RemoveXattr(ctx, "user.a"))
	for _, err := range []error{second(f.GetXattr(ctx, "user.a")), f.RemoveXattr(ctx, "user.a")} {
		if !errors.Is(err, unix.ENODATA) {
			t.Errorf("what was removed: %v", err)
		}
	}
	for name, want := range map[string]unix.Errno{"": unix.ERANGE, strings.Repeat("n", 256): unix.ERANGE, "a\x00b": unix.ERANGE} {
		for _, err := range []error{second(f.GetXattr(ctx, name)), f.SetXattr(ctx, name, nil, 0), f.RemoveXattr(ctx, name)} {
			if !errors.Is(err, want) {
				t.Errorf("attribute %q: %v", name, err)
			}
		}
	}
	if err := f.SetXattr(ctx, "user.a", make([]byte, 64<<10+1), 0); !errors.Is(err, unix.E2BIG) {
		t.Errorf("an attribute that is too large: %v", err)
	}
	if s.Features().Xattr != ninep.Supported {
		t.Error("it works, and is not known to")
	}
}

// TestXattrCommit: the answer to Tclunk is the outcome.
func TestXattrCommit(t *testing.T) {
	clunk := any(pass)
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		switch m := m.(type) {
		case *ninep.Txattrcreate:
			clunk = &ninep.Rlerror{Errno: uint32(unix.EDQUOT)}
			return &ninep.Rxattrcreate{}
		case *ninep.Twrite:
			return &ninep.Rwrite{Count: uint32(len(m.Data))}
		case *ninep.Tclunk:
			return clunk
		}
		return pass
	})
	if err := root.SetXattr(testContext(t), "user.a", []byte("v"), 0); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("error %v", err)
	}
}

// TestXattrThatGrows: ERANGE about an attribute is no word about how many fids the server bears.
func TestXattrThatGrows(t *testing.T) {
	s, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		if m.Type() == ninep.TypeTxattrwalk {
			return &ninep.Rlerror{Errno: uint32(unix.ERANGE)}
		}
		return pass
	})
	ctx := testContext(t)
	if _, err := root.GetXattr(ctx, "user.a"); !errors.Is(err, unix.ERANGE) {
		t.Errorf("error %v", err)
	}
	for range 3 {
		must(root.Walk(ctx))(t)
	}
	if n := s.Features().MaxFids; n != 0 {
		t.Errorf("%d fids are all that the server is taken to bear", n)
	}
}

// TestHugeXattr: a size that no attribute has is not allocated.
func TestHugeXattr(t *testing.T) {
	_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		if m.Type() == ninep.TypeTxattrwalk {
			return &ninep.Rxattrwalk{Size: 1 << 62}
		}
		return pass
	})
	if _, err := root.GetXattr(testContext(t), "user.a"); !errors.Is(err, unix.EIO) || !errors.Is(err, ninep.ErrMalformed) {
		t.Errorf("error %v", err)
	}
}

// TestFallbacksAreRemembered: what a server does not know it is asked once.
func TestFallbacksAreRemembered(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EOPNOTSUPP, unix.ENOSYS} {
		asked := map[ninep.MsgType]int{}
		s, root := openScripted(t, func(_ uint16, m ninep.Message) any {
			asked[m.Type()]++
			switch m.Type() {
			case ninep.TypeTunlinkat, ninep.TypeTrenameat, ninep.TypeTxattrwalk, ninep.TypeTlock, ninep.TypeTstatfs:
				return &ninep.Rlerror{Errno: uint32(errno)}
			case ninep.TypeTremove:
				return &ninep.Rremove{}
			case ninep.TypeTrename:
				return &ninep.Rrename{}
			}
			return pass
		})
		ctx := testContext(t)
		for range 3 {
			ok(t, root.Unlink(ctx, "f", false))
			ok(t, root.Rename(ctx, "a", root, "b"))
			for op, err := range map[string]error{
				"listxattr": second(root.ListXattr(ctx)),
				"getxattr":  second(root.GetXattr(ctx, "user.a")),
				"lock":      second(root.Lock(ctx, ninep.Lock{})),
				"statfs":    second(root.Statfs(ctx)),
			} {
				if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, errno) {
					t.Errorf("%s: %v", op, err)
				}
			}
		}
		if asked[ninep.TypeTunlinkat] != 1 || asked[ninep.TypeTrenameat] != 1 || asked[ninep.TypeTxattrwalk] > 2 {
			t.Errorf("asked %v", asked)
		}
		if f := s.Features(); f.Xattr != ninep.Unsupported || f.Lock != ninep.Unsupported || f.Statfs != ninep.Unsupported {
			t.Errorf("learned %+v", f)
		}
	}
}
