package ninetest

import (
	"bytes"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// walk walks from a fid; the new one is clunked at the rule's end.
func (s *scope) walk(from *ninep.Fid, names ...string) *ninep.Fid {
	s.tb.Helper()
	f, err := from.Walk(s.ctx, names...)
	s.ok(err, "walk")
	return s.keep(f)
}

// openFile walks to a name in the rule's directory and opens it.
func (s *scope) openFile(name string, flags int) *ninep.Fid {
	s.tb.Helper()
	f := s.walk(s.dir, name)
	s.ok(f.Open(s.ctx, uint32(flags)), "open "+name)
	return f
}

// tryCreate creates a file in a directory and returns its open fid.
func (s *scope) tryCreate(dir *ninep.Fid, name string, flags int, mode uint32) (*ninep.Fid, error) {
	s.tb.Helper()
	f := s.walk(dir)
	return f, f.Create(s.ctx, name, uint32(flags), mode, s.server.UID)
}

// create creates a file in the rule's directory, open for reading and writing.
func (s *scope) create(name string) *ninep.Fid {
	s.tb.Helper()
	f, err := s.tryCreate(s.dir, name, unix.O_RDWR|unix.O_EXCL, 0o644)
	s.ok(err, "create "+name)
	return f
}

// file creates a file of that content and leaves no fid on it.
func (s *scope) file(name, content string) {
	s.tb.Helper()
	f := s.create(name)
	s.write(f, []byte(content), 0)
	s.clunk(f)
}

// mkdir makes a directory and walks to it.
func (s *scope) mkdir(parent *ninep.Fid, name string) *ninep.Fid {
	s.tb.Helper()
	_, err := parent.Mkdir(s.ctx, name, 0o755, s.server.UID)
	s.ok(err, "mkdir "+name)
	return s.walk(parent, name)
}

func (s *scope) write(f *ninep.Fid, data []byte, offset int64) {
	s.tb.Helper()
	n, err := f.Write(s.ctx, data, offset)
	s.ok(err, "write")
	if n != len(data) {
		s.tb.Fatalf("wrote %d bytes of %d", n, len(data))
	}
}

// read reads up to n bytes.
func (s *scope) read(f *ninep.Fid, n int, offset int64) []byte {
	s.tb.Helper()
	buf := make([]byte, n)
	got, err := f.Read(s.ctx, buf, offset)
	s.ok(err, "read")
	return buf[:got]
}

// reads fails unless exactly want is at the offset.
func (s *scope) reads(f *ninep.Fid, want []byte, offset int64) {
	s.tb.Helper()
	got := s.read(f, len(want), offset)
	if !bytes.Equal(got, want) {
		s.tb.Fatalf("at %d: read %d bytes, %s", offset, len(got), difference(got, want))
	}
}

// content fails unless the file of that name holds exactly want.
func (s *scope) content(name, want string) {
	s.tb.Helper()
	f := s.openFile(name, unix.O_RDONLY)
	if got := s.read(f, len(want)+1, 0); string(got) != want {
		s.tb.Errorf("%s: %s", name, difference(got, []byte(want)))
	}
	s.clunk(f)
}

// difference says where two contents part.
func difference(got, want []byte) string {
	if len(got) <= 64 && len(want) <= 64 {
		return "got \"" + string(got) + "\", want \"" + string(want) + "\""
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return "they differ at byte " + itoa(i)
		}
	}
	return "got " + itoa(len(got)) + " bytes, want " + itoa(len(want))
}

func (s *scope) attr(f *ninep.Fid) ninep.Attr {
	s.tb.Helper()
	attr, err := f.Getattr(s.ctx, ninep.AttrBasic)
	s.ok(err, "getattr")
	return attr
}

// attrOf is the attributes of a name in the rule's directory.
func (s *scope) attrOf(name string) ninep.Attr {
	s.tb.Helper()
	f := s.walk(s.dir, name)
	defer s.clunk(f)
	return s.attr(f)
}

// exists reports whether a name leads anywhere.
func (s *scope) exists(dir *ninep.Fid, name string) bool {
	s.tb.Helper()
	f, err := dir.Walk(s.ctx, name)
	if errors.Is(err, unix.ENOENT) {
		return false
	}
	s.ok(err, "walk to "+name)
	s.ok(f.Clunk(s.ctx), "clunk")
	return true
}

// list is the entries of a directory but "." and "..", in the server's order.
func (s *scope) list(dir *ninep.Fid) []ninep.Dirent {
	s.tb.Helper()
	f := s.openDir(dir)
	defer s.clunk(f)
	return s.entries(f, 0, 32<<10)
}

// names is the sorted names of a directory.
func (s *scope) names(dir *ninep.Fid) []string {
	s.tb.Helper()
	var names []string
	for _, entry := range s.list(dir) {
		names = append(names, entry.Name)
	}
	slices.Sort(names)
	return names
}

// entries reads an open directory from a cookie to its end, count bytes a call.
func (s *scope) entries(f *ninep.Fid, cookie uint64, count int) []ninep.Dirent {
	s.tb.Helper()
	var all []ninep.Dirent
	buf := make([]byte, count)
	for {
		page := s.page(f, cookie, buf)
		if len(page) == 0 {
			return all
		}
		cookie = page[len(page)-1].Offset
		for _, entry := range page {
			if entry.Name != "." && entry.Name != ".." {
				all = append(all, entry)
			}
		}
	}
}

// page is the entries that one call returns.
func (s *scope) page(f *ninep.Fid, cookie uint64, buf []byte) []ninep.Dirent {
	s.tb.Helper()
	raw, err := f.Readdir(s.ctx, cookie, buf)
	s.ok(err, "readdir")
	var page []ninep.Dirent
	for len(raw) > 0 {
		var entry ninep.Dirent
		entry, raw, err = ninep.NextDirent(raw)
		s.ok(err, "directory entry")
		page = append(page, entry)
	}
	return page
}

// removeAll removes a tree by its entries.
func (s *scope) removeAll(parent *ninep.Fid, name string) {
	s.tb.Helper()
	dir := s.walk(parent, name)
	var files []string
	for _, entry := range s.list(dir) {
		if entry.QID.IsDir() {
			s.removeAll(dir, entry.Name)
			continue
		}
		files = append(files, entry.Name)
	}
	s.each(len(files), func(i int) error { return dir.Unlink(s.ctx, files[i], false) })
	s.clunk(dir)
	s.ok(parent.Unlink(s.ctx, name, true), "rmdir "+name)
}
