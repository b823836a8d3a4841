package ninetest

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var readdirRules = []rule{
	{"empty", readdirEmpty},
	{"ten-thousand-entries-once", readdirMany},
	{"small-counts", readdirSmall},
	{"count-too-small-for-an-entry", readdirTooSmall},
	{"never-more-than-asked", readdirCount},
	{"any-cookie-resumes", readdirCookies},
	{"types-and-qids", readdirTypes},
	{"from-the-start-sees-changes", readdirRewind},
	{"entries-added-meanwhile", readdirAdded},
	{"entries-removed-meanwhile", readdirRemoved},
	{"of-a-file-is-refused", readdirFile},
}

// openDir is a fid open on a directory.
func (s *scope) openDir(dir *ninep.Fid) *ninep.Fid {
	s.tb.Helper()
	f := s.walk(dir)
	s.ok(f.Open(s.ctx, unix.O_RDONLY|unix.O_DIRECTORY), "open the directory")
	return f
}

// fill makes n empty files and returns their names, sorted.
func (s *scope) fill(dir *ninep.Fid, prefix string, n int) []string {
	s.tb.Helper()
	names := make([]string, n)
	s.each(n, func(i int) error {
		names[i] = prefix + itoa(i)
		f, err := dir.Walk(s.ctx)
		if err != nil {
			return err
		}
		return errors.Join(f.Create(s.ctx, names[i], unix.O_WRONLY|unix.O_EXCL, 0o644, s.server.UID), f.Clunk(s.ctx))
	})
	return sorted(names)
}

// once fails unless the entries are exactly those names, each once.
func (s *scope) once(got []ninep.Dirent, want []string) {
	s.tb.Helper()
	var names []string
	for _, entry := range got {
		names = append(names, entry.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		s.tb.Errorf("%d entries, %d of them different; want %d", len(names), len(slices.Compact(names)), len(want))
	}
}

func readdirEmpty(s *scope) {
	if names := s.names(s.dir); len(names) != 0 {
		s.tb.Errorf("an empty directory has %q", names)
	}
}

func readdirMany(s *scope) {
	want := s.fill(s.dir, "entry-", 10000)
	f := s.openDir(s.dir)
	s.once(s.entries(f, 0, 64<<10), want)
	s.once(s.entries(f, 0, 4<<10), want)
}

func readdirSmall(s *scope) {
	want := s.fill(s.dir, "some-longer-name-of-an-entry-", 100)
	for _, count := range []int{64, 128, 300, 511, 1000} {
		s.once(s.entries(s.openDir(s.dir), 0, count), want)
	}
}

// readdirTooSmall: an empty answer would say that the directory ends here.
func readdirTooSmall(s *scope) {
	s.fill(s.dir, "a-name-of-more-than-ten-bytes-", 3)
	w := s.wire()
	w.must(s.topen(dirFid, ninep.OpenReadOnly|ninep.OpenDirectory))
	w.refused(s.tlist(dirFid, 10), unix.EINVAL)
}

func readdirCount(s *scope) {
	s.fill(s.dir, "f", 500)
	w := s.wire()
	w.must(s.topen(dirFid, ninep.OpenReadOnly|ninep.OpenDirectory))
	for _, count := range []uint32{100, 1000, 4096, wireMsize - ninep.IOHeaderSize, 1 << 20} {
		reply := w.say(s.tlist(dirFid, count))
		data := ninep.Payload(reply)
		if refusal(reply) == 0 && (len(data) > int(count) || len(data) == 0) {
			s.tb.Errorf("count %d: %d bytes", count, len(data))
		}
		if refusal(reply) != 0 && count < wireMsize {
			s.tb.Errorf("count %d is refused", count)
		}
	}
}

// readdirCookies resumes at every cookie that was returned, on the same fid in
// any order and on a new one.
func readdirCookies(s *scope) {
	s.fill(s.dir, "f", 300)
	f := s.openDir(s.dir)
	all := s.entries(f, 0, 1000)
	for _, i := range []int{0, 1, 7, 150, 298, 299, 20, 280} {
		for _, fid := range []*ninep.Fid{f, s.openDir(s.dir)} {
			rest := s.entries(fid, all[i].Offset, 700)
			if !slices.EqualFunc(rest, all[i+1:], func(a, b ninep.Dirent) bool { return a.Name == b.Name }) {
				s.tb.Errorf("after entry %d: %d entries, want %d", i, len(rest), len(all)-i-1)
			}
		}
	}
}

func readdirTypes(s *scope) {
	s.file("file", "data")
	s.mkdir(s.dir, "directory")
	_, err := s.dir.Symlink(s.ctx, "link", "target", s.server.UID)
	s.ok(err, "symlink")
	_, err = s.dir.Mknod(s.ctx, "fifo", unix.S_IFIFO|0o644, 0, 0, s.server.UID)
	s.ok(err, "mknod")
	types := map[string]uint8{"file": unix.DT_REG, "directory": unix.DT_DIR, "link": unix.DT_LNK, "fifo": unix.DT_FIFO}
	entries := s.list(s.dir)
	for _, entry := range entries {
		if entry.Type != types[entry.Name] {
			s.tb.Errorf("%s: type %d, want %d", entry.Name, entry.Type, types[entry.Name])
		}
		s.sameQID(entry.QID, s.walk(s.dir, entry.Name).QID(), entry.Name)
	}
	if len(entries) != len(types) {
		s.tb.Errorf("%d entries, want %d", len(entries), len(types))
	}
}

func readdirRewind(s *scope) {
	s.fill(s.dir, "a", 50)
	f := s.openDir(s.dir)
	s.entries(f, 0, 500)
	s.fill(s.dir, "b", 50)
	s.ok(s.dir.Unlink(s.ctx, "a0", false), "unlink")
	if n := len(s.entries(f, 0, 500)); n != 99 {
		s.tb.Errorf("%d entries from the start, want 99", n)
	}
}

// readdirAdded: what was there all the time comes exactly once.
func readdirAdded(s *scope) {
	want := s.fill(s.dir, "old-", 500)
	f := s.openDir(s.dir)
	var seen []ninep.Dirent
	buf, cookie := make([]byte, 2000), uint64(0)
	for i := 0; ; i++ {
		page := s.page(f, cookie, buf)
		if len(page) == 0 {
			break
		}
		cookie = page[len(page)-1].Offset
		seen = append(seen, page...)
		s.fill(s.dir, "new-"+itoa(i)+"-", 3)
	}
	s.once(slices.DeleteFunc(seen, func(d ninep.Dirent) bool { return !strings.HasPrefix(d.Name, "old-") }), want)
}

// readdirRemoved is rm -r: entries go while the directory is read.
func readdirRemoved(s *scope) {
	want := s.fill(s.dir, "f", 1000)
	f := s.openDir(s.dir)
	var seen []ninep.Dirent
	buf, cookie := make([]byte, 2000), uint64(0)
	for {
		page := s.page(f, cookie, buf)
		if len(page) == 0 {
			break
		}
		cookie = page[len(page)-1].Offset
		for _, entry := range page {
			if entry.Name != "." && entry.Name != ".." {
				seen = append(seen, entry)
				s.ok(s.dir.Unlink(s.ctx, entry.Name, false), "unlink")
			}
		}
	}
	s.once(seen, want)
	readdirEmpty(s)
}

func readdirFile(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(s.topen(9, ninep.OpenReadOnly))
	w.refused(s.tlist(9, 4096))
}
