package fuse_test

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/test/lab"
)

// requests are the statistics of one opcode; zero if none came.
func requests(c *fuse.Conn, op fuse.Opcode) fuse.OpcodeStats {
	all := c.Stats().Requests
	if i := slices.IndexFunc(all, func(o fuse.OpcodeStats) bool { return o.Opcode == op }); i >= 0 {
		return all[i]
	}
	return fuse.OpcodeStats{Opcode: op}
}

func TestStats(t *testing.T) { lab.Loops(t, testStats) }

func testStats(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.add("data", pattern(t, 64<<10))
	m := mount(t, fs, fuse.Config{})
	c := m.conn
	fd := open(t, m.path("data"), unix.O_RDWR|unix.O_DIRECT)
	buf := aligned(t, 8<<10)
	for range 2 {
		if _, err := unix.Pread(fd, buf, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := unix.Pwrite(fd, buf, 0); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(m.path("absent"), &st); err != unix.ENOENT {
		t.Fatal(err)
	}
	if got := requests(c, fuse.OpRead); got.Count != 2 || got.Errors != 0 {
		t.Errorf("READ: %+v", got)
	}
	if got := requests(c, fuse.OpLookup); got.Errors == 0 || got.Errors >= got.Count {
		t.Errorf("LOOKUP: %+v", got)
	}
	if s := c.Stats(); s.Read != 16<<10 || s.Written != 8<<10 || s.IOURing != (on != fuse.IOURingOff) {
		t.Errorf("%+v", s)
	}
	eventually(t, "nothing in flight", func() bool { return c.Stats().InFlight == 0 }) // an answer is there before it is counted
	held := hold(fs)
	go func() { _, _ = unix.Pread(fd, buf, 0) }()
	r := receive(t, "READ", held)
	if s := c.Stats(); s.InFlight != 1 {
		t.Errorf("with a READ held: %+v", s)
	}
	r.ReplyError(unix.EIO)
	eventually(t, "nothing in flight", func() bool { return c.Stats().InFlight == 0 })
	if got := requests(c, fuse.OpRead); got.Count != 3 || got.Errors != 1 {
		t.Errorf("READ: %+v", got)
	}
}
