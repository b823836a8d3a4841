package usage

import (
	"context"
	"errors"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
)

// attributes are what a count needs of a file.
const attributes = ninep.AttrMode | ninep.AttrNlink | ninep.AttrBlocks

// maxKept bounds what a scan remembers, in places and files, whatever tree a
// server makes up.
const maxKept = 1 << 20

var errTooLarge = errors.New("more directories and hard links at once than a scan keeps in mind")

// readdirBuffer is the room for one Rreaddir, in bytes.
const readdirBuffer = 64 << 10

// place is a directory that waits for its turn, by its name and that of its
// parents: a fid for each would be one for each level and each sibling.
type place struct {
	parent *place
	name   string
	depth  int
}

// names returns the way from the root.
func (p *place) names() []string {
	names := make([]string, p.depth)
	for ; p.parent != nil; p = p.parent {
		names[p.depth-1] = p.name
	}
	return names
}

// scanner is one scan.
type scanner struct {
	pacer   *pacer
	root    *ninep.Fid
	buffer  []byte
	pending []*place
	linked  map[uint64]struct{} // files with several names that were counted
	count   Count
}

// scan counts the tree at root. What disappears meanwhile is passed over.
func scan(ctx context.Context, root *ninep.Fid, p *pacer) (Count, error) {
	s := &scanner{pacer: p, root: root, buffer: make([]byte, readdirBuffer), linked: make(map[uint64]struct{})}
	attr, err := root.Getattr(ctx, attributes)
	if err != nil {
		return Count{}, err
	}
	s.add(attr)
	for s.pending = []*place{{}}; len(s.pending) > 0; {
		if len(s.pending)+len(s.linked) > maxKept {
			return Count{}, errTooLarge
		}
		next := s.pending[len(s.pending)-1]
		s.pending = s.pending[:len(s.pending)-1]
		if err := s.directory(ctx, next); err != nil && !gone(err) {
			return Count{}, err
		}
	}
	s.count.Time = time.Now()
	return s.count, nil
}

// directory counts what is in one directory and notes its subdirectories.
func (s *scanner) directory(ctx context.Context, at *place) error {
	dir, err := s.root.Walk(ctx, at.names()...)
	if err != nil {
		return err
	}
	defer dir.Drop()
	list, err := dir.Walk(ctx) // an opened fid cannot be walked from
	if err != nil {
		return err
	}
	defer list.Drop()
	if err := list.Open(ctx, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return err
	}
	for offset := uint64(0); ; {
		entries, err := list.Readdir(ctx, offset, s.buffer)
		if err != nil || len(entries) == 0 {
			return err
		}
		for len(entries) > 0 {
			var entry ninep.Dirent
			if entry, entries, err = ninep.NextDirent(entries); err != nil {
				return err
			}
			offset = entry.Offset
			if err := s.entry(ctx, dir, at, entry.Name); err != nil && !gone(err) {
				return err
			}
		}
	}
}

// entry counts one file of a directory.
func (s *scanner) entry(ctx context.Context, dir *ninep.Fid, at *place, name string) error {
	if name == "." || name == ".." {
		return nil
	}
	if err := s.pacer.step(ctx); err != nil {
		return err
	}
	fid, attr, err := dir.WalkAttr(ctx, name)
	if err != nil {
		return err
	}
	fid.Drop()
	s.add(attr)
	if attr.QID.IsDir() {
		s.pending = append(s.pending, &place{parent: at, name: name, depth: at.depth + 1})
	}
	return nil
}

// add counts a file, one with several names once.
func (s *scanner) add(attr ninep.Attr) {
	if attr.Nlink > 1 && !attr.QID.IsDir() {
		if _, counted := s.linked[attr.QID.Path]; counted {
			return
		}
		s.linked[attr.QID.Path] = struct{}{}
	}
	s.count.Inodes++
	s.count.Bytes += int64(attr.Blocks) * 512
}

// gone tells the errors of a file that went, or changed its kind, between two
// messages, and of one that this user may not look into.
func gone(err error) bool {
	return ninep.IsErrno(err, unix.ENOENT, unix.ENOTDIR, unix.ESTALE, unix.EACCES, unix.EPERM, unix.ELOOP)
}
