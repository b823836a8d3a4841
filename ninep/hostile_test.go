package ninep_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// raw is a message of this type with this body and, unless size is 0, that size.
func raw(size uint32, kind ninep.MsgType, tag uint16, body string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(7+len(body)))
	b = append(b, byte(kind), byte(tag), byte(tag>>8))
	b = append(b, body...)
	if size != 0 {
		binary.LittleEndian.PutUint32(b, size)
	}
	return b
}

// TestHostileReplies: a reply that breaks the protocol ends the connection, with an error for its caller.
func TestHostileReplies(t *testing.T) { inBothModes(t, hostileReplies) }

func hostileReplies(t *testing.T, z ninep.ZeroCopy) {
	read := func(f *ninep.Fid) error { _, err := f.Read(t.Context(), make([]byte, 8), 0); return err }
	write := func(f *ninep.Fid) error { _, err := f.Write(t.Context(), make([]byte, 8), 0); return err }
	getattr := func(f *ninep.Fid) error { _, err := f.Getattr(t.Context(), ninep.AttrBasic); return err }
	walk := func(f *ninep.Fid) error { _, err := f.Walk(t.Context(), "a", "b"); return err }
	readlink := func(f *ninep.Fid) error { _, err := f.Readlink(t.Context()); return err }
	readdir := func(f *ninep.Fid) error { _, err := f.Readdir(t.Context(), 0, make([]byte, 300)); return err }
	lock := func(f *ninep.Fid) error { _, err := f.Lock(t.Context(), ninep.Lock{}); return err }
	for name, c := range map[string]struct {
		do     func(*ninep.Fid) error
		asked  ninep.MsgType
		answer func(tag uint16) []byte
	}{
		"Rread of more than asked": {read, ninep.TypeTread, func(tag uint16) []byte {
			return raw(0, ninep.TypeRread, tag, "\x09\x00\x00\x00123456789")
		}},
		"Rread whose count exceeds the message": {read, ninep.TypeTread, func(tag uint16) []byte {
			return raw(0, ninep.TypeRread, tag, "\x08\x00\x00\x001234")
		}},
		"Rread whose count is less than the message": {read, ninep.TypeTread, func(tag uint16) []byte {
			return raw(0, ninep.TypeRread, tag, "\x02\x00\x00\x001234")
		}},
		"Rread without count":         {read, ninep.TypeTread, func(tag uint16) []byte { return raw(0, ninep.TypeRread, tag, "") }},
		"Rwrite of more than asked":   {write, ninep.TypeTwrite, func(tag uint16) []byte { return raw(0, ninep.TypeRwrite, tag, "\x09\x00\x00\x00") }},
		"Rwrite with more":            {write, ninep.TypeTwrite, func(tag uint16) []byte { return raw(0, ninep.TypeRwrite, tag, "\x08\x00\x00\x00!") }},
		"another type":                {getattr, ninep.TypeTgetattr, func(tag uint16) []byte { return raw(0, ninep.TypeRclunk, tag, "") }},
		"a request":                   {getattr, ninep.TypeTgetattr, func(tag uint16) []byte { return raw(0, ninep.TypeTgetattr, tag, "") }},
		"another tag":                 {getattr, ninep.TypeTgetattr, func(tag uint16) []byte { return raw(0, ninep.TypeRlerror, tag+1, "\x01\x00\x00\x00") }},
		"no tag":                      {getattr, ninep.TypeTgetattr, func(uint16) []byte { return raw(0, ninep.TypeRlerror, ninep.NoTag, "\x01\x00\x00\x00") }},
		"size of less than a header":  {getattr, ninep.TypeTgetattr, func(tag uint16) []byte { return raw(6, ninep.TypeRlerror, tag, "\x01\x00\x00\x00") }},
		"size of more than msize":     {getattr, ninep.TypeTgetattr, func(tag uint16) []byte { return raw(1<<31, ninep.TypeRlerror, tag, "\x01\x00\x00\x00") }},
		"an error that is a string":   {getattr, ninep.TypeTgetattr, func(tag uint16) []byte { return raw(0, ninep.TypeRerror, tag, "\x04\x00nope") }},
		"an error without a number":   {read, ninep.TypeTread, func(tag uint16) []byte { return raw(0, ninep.TypeRlerror, tag, "") }},
		"a short Rgetattr":            {getattr, ninep.TypeTgetattr, func(tag uint16) []byte { return raw(0, ninep.TypeRgetattr, tag, "short") }},
		"a string beyond its message": {readlink, ninep.TypeTreadlink, func(tag uint16) []byte { return raw(0, ninep.TypeRreadlink, tag, "\xff\xffx") }},
		"a byte after the string":     {readlink, ninep.TypeTreadlink, func(tag uint16) []byte { return raw(0, ninep.TypeRreadlink, tag, "\x01\x00xy") }},
		"three qids for two names": {walk, ninep.TypeTwalk, func(tag uint16) []byte {
			return frame(t, tag, &ninep.Rwalk{QIDs: make([]ninep.QID, 3)})
		}},
		"65535 qids": {walk, ninep.TypeTwalk, func(tag uint16) []byte { return raw(0, ninep.TypeRwalk, tag, "\xff\xff") }},
		"a directory whose qid says file": {getattr, ninep.TypeTgetattr, func(tag uint16) []byte {
			return frame(t, tag, &ninep.Rgetattr{Attr: ninep.Attr{Valid: ninep.AttrMode, Mode: unix.S_IFDIR | 0o755}})
		}},
		"Rreaddir of more than asked": {readdir, ninep.TypeTreaddir, func(tag uint16) []byte {
			return frame(t, tag, &ninep.Rreaddir{Data: make([]byte, 301)})
		}},
		"a lock status that is none": {lock, ninep.TypeTlock, func(tag uint16) []byte { return raw(0, ninep.TypeRlock, tag, "\x04") }},
	} {
		t.Run(name, func(t *testing.T) {
			s, root := openScriptedAs(t, func(tag uint16, m ninep.Message) any {
				if m.Type() == c.asked {
					return c.answer(tag)
				}
				return pass
			}, ninep.AttachOptions{ZeroCopy: z})
			err := c.do(root)
			if !errors.Is(err, unix.EIO) {
				t.Errorf("error %v", err)
			}
			if !errors.Is(err, ninep.ErrMalformed) && !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("error %v does not say that the server is to blame", err)
			}
			eventually(t, "the end of the connection", func() bool { st := s.Status(); return !st.Connected || st.Reconnects > 0 })
		})
	}
}

// TestErrorsDoNotReachThePayload: an error reply is as long as the head of Rread, and no byte of it is the caller's.
func TestErrorsDoNotReachThePayload(t *testing.T) { inBothModes(t, errorsDoNotReachThePayload) }

func errorsDoNotReachThePayload(t *testing.T, z ninep.ZeroCopy) {
	for _, reply := range []ninep.Message{
		&ninep.Rlerror{Errno: uint32(unix.EACCES)},
		&ninep.Rerror{Errno: uint32(unix.EACCES)}, // nfs-ganesha's
	} {
		_, root := openScriptedAs(t, func(_ uint16, m ninep.Message) any {
			if m.Type() == ninep.TypeTread {
				return reply
			}
			return pass
		}, ninep.AttachOptions{Aname: "/", ZeroCopy: z})
		buf := []byte("untouched")
		n, err := root.Read(context.Background(), buf, 0)
		if n != 0 || !errors.Is(err, unix.EACCES) || !bytes.Equal(buf, []byte("untouched")) {
			t.Errorf("%v: %d, %v, %q", reply.Type(), n, err, buf)
		}
		var e *ninep.Error
		if !errors.As(err, &e) || e.Op != "read" || e.Path != "/" || e.Errno != unix.EACCES {
			t.Errorf("%#v", err)
		}
	}
}

// TestOddErrnos: a number that is no errno is EIO.
func TestOddErrnos(t *testing.T) {
	for _, errno := range []uint32{0, 4096, 1 << 31} {
		_, root := openScripted(t, func(_ uint16, m ninep.Message) any {
			if m.Type() == ninep.TypeTgetattr {
				return &ninep.Rlerror{Errno: errno}
			}
			return pass
		})
		if _, err := root.Getattr(t.Context(), ninep.AttrBasic); !errors.Is(err, unix.EIO) {
			t.Errorf("errno %d: %v", errno, err)
		}
	}
}

// FuzzReplies feeds the client's reply path with a server's bytes: whatever they are, every call ends.
func FuzzReplies(f *testing.F) {
	f.Add(byte(0), []byte{})
	f.Add(byte(1), raw(0, ninep.TypeRread, 0, "\x04\x00\x00\x00data"))
	f.Add(byte(2), raw(0, ninep.TypeRwalk, 0, "\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(byte(3), raw(0, ninep.TypeRlerror, 0, "\x02\x00\x00\x00"))
	f.Add(byte(4), raw(0, ninep.TypeRreaddir, 0, "\xff\xff\xff\xff"))
	f.Add(byte(5), raw(0, ninep.TypeRxattrwalk, 0, "\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add(byte(6), raw(0, ninep.TypeRwrite, 0, "\xff\xff\xff\xff"))
	f.Add(byte(7), raw(0, ninep.TypeRreadlink, 0, "\xff\xffx"))
	f.Add(byte(8), raw(0, ninep.TypeRgetlock, 0, "\x01"))
	f.Fuzz(func(t *testing.T, which byte, answer []byte) {
		s, root := openScripted(t, func(_ uint16, m ninep.Message) any {
			switch m.Type() {
			case ninep.TypeTversion, ninep.TypeTattach:
				return pass
			}
			return last(answer)
		})
		buf := make([]byte, 600)
		calls := []func(context.Context){
			func(ctx context.Context) { _, _ = root.Getattr(ctx, ninep.AttrAll) },
			func(ctx context.Context) { _, _ = root.Read(ctx, buf, 0) },
			func(ctx context.Context) { _, _ = root.Walk(ctx, "a", "b") },
			func(ctx context.Context) { _, _, _ = root.WalkAttr(ctx, "a") },
			func(ctx context.Context) { _, _ = root.Readdir(ctx, 0, buf) },
			func(ctx context.Context) { _, _ = root.GetXattr(ctx, "user.a") },
			func(ctx context.Context) { _, _ = root.Write(ctx, buf, 0) },
			func(ctx context.Context) { _, _ = root.Readlink(ctx) },
			func(ctx context.Context) { _, _ = root.GetLock(ctx, ninep.Lock{}) },
			func(ctx context.Context) { _ = root.Create(ctx, "a", 0, 0, 0) },
			func(ctx context.Context) { _, _ = root.Statfs(ctx) },
		}
		ctx := testContext(t)
		calls[int(which)%len(calls)](ctx)
		if ctx.Err() != nil {
			t.Error("the call did not end")
		}
		_ = s.Close()
	})
}
