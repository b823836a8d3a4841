package ninep_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// openOn opens a session on a connection and attaches.
func openOn(t *testing.T, conn transport.Conn, dialects ...ninep.Dialect) *ninep.Fid {
	t.Helper()
	s, err := ninep.Open(testContext(t), ninep.Config{
		Dialects: dialects, Dial: func(context.Context) (transport.Conn, error) { return conn, nil },
	})
	ok(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return must(s.Attach(testContext(t), ninep.AttachOptions{}))(t)
}

// TestNoReply: what a device hands back without a reply has failed, but for the sync of the older dialects, for which QEMU has no
// better answer; a fid that it may have bound is given back.
func TestNoReply(t *testing.T) {
	for _, d := range everyDialect {
		t.Run(d.String(), func(t *testing.T) {
			silent, clunked := false, 0
			root := openOn(t, &direct{msize: 64 << 10, lost: make(chan struct{}), lie: func(c *transport.Call) {
				if ninep.MsgType(c.Head[4]) == ninep.TypeTclunk {
					clunked++
				} else if silent {
					c.N, c.Err = 0, transport.ErrNoReply
				}
			}}, d)
			silent = true
			ctx := testContext(t)
			_, walked := root.Walk(ctx)
			_, read := root.Read(ctx, make([]byte, 10), 0)
			_, written := root.Write(ctx, make([]byte, 10), 0)
			for name, err := range map[string]error{
				"walk": walked, "read": read, "write": written,
				"truncate": root.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetSize, Size: 1}),
			} {
				if !errors.Is(err, unix.EIO) || !errors.Is(err, transport.ErrNoReply) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if clunked != 1 {
				t.Errorf("%d fids were given back, the walk may have bound one", clunked)
			}
			switch err := root.Fsync(ctx, false); {
			case d == ninep.DialectL && !errors.Is(err, unix.EIO):
				t.Errorf("fsync: %v", err)
			case d != ninep.DialectL:
				ok(t, err)
			}
			silent = false
			must(root.Walk(ctx))(t) // the connection lives on
		})
	}
}

// returned is a direct connection that keeps its first read, and hands it back without a reply before it answers a Tflush.
type returned struct {
	direct
	kept    *transport.Call
	between func()
	tags    []uint16 // of reads
}

func (r *returned) Submit(c *transport.Call) {
	switch ninep.MsgType(c.Head[4]) {
	case ninep.TypeTread:
		r.tags = append(r.tags, c.Tag)
		if len(r.tags) == 1 {
			r.kept = c
			return
		}
	case ninep.TypeTflush:
		r.kept.Err = transport.ErrNoReply
		r.kept.Done.Complete(r.kept)
		r.between()
	}
	r.direct.Submit(c)
}

// TestNoReplyOfFlushed: a call that a device hands back because of a Tflush was cancelled, and its tag rests until Rflush.
func TestNoReplyOfFlushed(t *testing.T) {
	conn := &returned{direct: direct{msize: 64 << 10, lost: make(chan struct{})}}
	f := openOn(t, conn)
	read := func() *ninep.IO {
		io := &ninep.IO{Buf: make([]byte, 10), Done: func(*ninep.IO) {}}
		f.StartRead(io)
		return io
	}
	conn.between = func() { read() }
	first := read()
	first.Cancel()
	cancelled(t, first.Err)
	read()
	if tags := conn.tags; len(tags) != 3 || tags[1] == tags[0] || tags[2] != tags[0] {
		t.Errorf("reads had the tags %v: the first is to rest until Rflush, and no longer", tags)
	}
}
