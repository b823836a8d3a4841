package record

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/tree"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// private is the mode of the driver's own directories: pods that mount a whole
// share have no business in them.
const private = 0o700

// Store is the driver's part of one share. It is safe for concurrent use, by
// several processes as well. Files appear in it whole or not at all: they are
// written aside and linked or renamed into place.
type Store struct {
	top     *ninep.Fid // has the others, and shareFile
	volumes *ninep.Fid // UUID.json: a Record each
	dirs    *ninep.Fid // SHA-256 of a directory's path: a Claim each
	tmp     *ninep.Fid // files being written
	New     *ninep.Fid // AsideName: a volume's directory before it is in its place
	Trash   *ninep.Fid // UUID: a volume's directory after it was
}

// Open opens the store of the tree whose root is given. A tree without one is
// unix.ENOENT. The caller closes it.
func Open(ctx context.Context, root *ninep.Fid) (*Store, error) {
	return open(ctx, root, tree.Dir)
}

// Make is Open, but makes what is missing.
func Make(ctx context.Context, root *ninep.Fid) (*Store, error) {
	return open(ctx, root, func(ctx context.Context, parent *ninep.Fid, name string) (*ninep.Fid, error) {
		return tree.MakeDir(ctx, parent, name, private)
	})
}

func open(ctx context.Context, root *ninep.Fid, dir func(context.Context, *ninep.Fid, string) (*ninep.Fid, error)) (*Store, error) {
	top, err := dir(ctx, root, subdir.Reserved)
	if err != nil {
		return nil, err
	}
	s := &Store{top: top}
	for _, d := range []struct {
		name string
		fid  **ninep.Fid
	}{{"volumes", &s.volumes}, {"dirs", &s.dirs}, {"tmp", &s.tmp}, {"new", &s.New}, {"trash", &s.Trash}} {
		if *d.fid, err = dir(ctx, top, d.name); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Close lets go of the store. It does not wait for the server.
func (s *Store) Close() {
	for _, fid := range []*ninep.Fid{s.top, s.volumes, s.dirs, s.tmp, s.New, s.Trash} {
		if fid != nil {
			fid.Drop()
		}
	}
}

const suffix = ".json"

// Get reads the record of a volume. A volume without one is unix.ENOENT; one
// that no driver wrote is ErrCorrupt.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (*Record, error) {
	name := id.String() + suffix
	data, err := s.read(ctx, s.volumes, name, MaxSize)
	if err != nil {
		return nil, err
	}
	r, err := Decode(data)
	if err == nil && r.UUID != id {
		err = fmt.Errorf("%w: it is that of volume %s", ErrCorrupt, r.UUID)
	}
	if err != nil {
		return nil, fmt.Errorf("%s/volumes/%s: %w; restore or remove it", subdir.Reserved, name, err)
	}
	return r, nil
}

// Add writes a record that does not exist yet; if it does, that is unix.EEXIST.
func (s *Store) Add(ctx context.Context, r *Record) error {
	data, err := r.Encode()
	if err != nil {
		return err
	}
	return s.writeNew(ctx, s.volumes, r.UUID.String()+suffix, data)
}

// Put replaces a record.
func (s *Store) Put(ctx context.Context, r *Record) error {
	data, err := r.Encode()
	if err != nil {
		return err
	}
	return s.replace(ctx, s.volumes, r.UUID.String()+suffix, data)
}

// Remove removes a record; one that does not exist is no error.
func (s *Store) Remove(ctx context.Context, id uuid.UUID) error {
	return missing(s.volumes.Unlink(ctx, id.String()+suffix, false))
}

// List returns the volumes that have a record, in order. Other files are
// passed over.
func (s *Store) List(ctx context.Context) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := tree.List(ctx, s.volumes, func(entries []ninep.Dirent) (bool, error) {
		for _, entry := range entries {
			id, err := uuid.Parse(entry.Name[:max(0, len(entry.Name)-len(suffix))])
			if err == nil && entry.Name == id.String()+suffix {
				ids = append(ids, id)
			}
		}
		return true, nil
	})
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(ids), err
}

// missing makes the absence of what was to be removed no error.
func missing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
