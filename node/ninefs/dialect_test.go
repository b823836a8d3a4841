package ninefs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/posted"
)

// secret is the text of an error as long as one may be. What tells its number is at its end.
var secret = strings.Repeat("secret ", 35)[:ninep.MaxErrorText-len(": permission denied")] + ": permission denied"

// failing is a stream to a server all of whose Rreads become errors while fail is true.
type failing struct {
	net.Conn
	fail *atomic.Bool
	d    ninep.Dialect
	rest bytes.Buffer // of replies
}

// Read passes a server's replies on.
func (f *failing) Read(p []byte) (int, error) {
	if f.rest.Len() == 0 {
		var size [4]byte
		if _, err := io.ReadFull(f.Conn, size[:]); err != nil {
			return 0, err
		}
		frame := make([]byte, binary.LittleEndian.Uint32(size[:]))
		copy(frame, size[:])
		if _, err := io.ReadFull(f.Conn, frame[4:]); err != nil {
			return 0, err
		}
		if f.fail.Load() && ninep.MsgType(frame[4]) == ninep.TypeRread {
			m := &ninep.Rerror{Ename: secret, Errno: uint32(unix.EACCES)}
			var err error
			if frame, err = f.d.Append(nil, binary.LittleEndian.Uint16(frame[5:]), m); err != nil {
				return 0, err
			}
		}
		f.rest.Write(frame)
	}
	return f.rest.Read(p)
}

// TestErrorTextsStayOffTheMount: with the memory for a reply posted ahead, as for a device, an error's text is written to where the
// data of a READ is due. The program that reads gets the error and not a byte of it, now or later.
func TestErrorTextsStayOffTheMount(t *testing.T) {
	for _, d := range []ninep.Dialect{ninep.DialectU, ninep.DialectLegacy} {
		t.Run(d.String(), func(t *testing.T) {
			noLeak(t)
			s := exporter(t)
			var fail, spilled atomic.Bool
			s.configure = func(c *ninep.Config) {
				c.Dialects = []ninep.Dialect{d}
				c.Dial = func(context.Context) (transport.Conn, error) {
					conn, err := net.Dial("unix", s.url[len("unix://"):])
					if err != nil {
						return nil, err
					}
					return posted.New(&failing{Conn: conn, fail: &fail, d: d}, func(_, payload, _ []byte) {
						if bytes.Contains(payload, []byte("secret")) {
							spilled.Store(true)
						}
					}), nil
				}
			}
			m := mount(t, s, func(o *ninefs.Options) { o.Cache = ninefs.CacheNone })
			content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
			check(t, os.WriteFile(m.path("f"), content, 0o600))
			fd, err := unix.Open(m.path("f"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			check(t, err)
			defer unix.Close(fd)
			for _, size := range []int{1, 100, 4096, 100 << 10, 1 << 20} {
				buf := bytes.Repeat([]byte("."), size)
				fail.Store(true)
				_, err = unix.Pread(fd, buf, 0)
				fail.Store(false)
				wantErr(t, err, unix.EACCES)
				if len(bytes.Trim(buf, ".")) != 0 {
					t.Errorf("%d bytes: %.300q was read", size, buf)
				}
				if n, err := unix.Pread(fd, buf, 0); err != nil || !bytes.Equal(buf[:n], content[:size]) {
					t.Errorf("%d bytes after the error: %d, %v", size, n, err)
				}
			}
			if !spilled.Load() {
				t.Error("no error was written to where data is due: this shows nothing")
			}
			if status := m.session.Status(); status.Reconnects != 0 {
				t.Errorf("errors have cost the connection: %+v", status)
			}
		})
	}
}
