package controller

import (
	"context"
	"errors"
	"strings"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/tree"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// onShare is a volume being worked on.
type onShare struct {
	root   *ninep.Fid
	store  *record.Store
	record *record.Record
	qid    *record.QID // of the volume's directory; nil: none is known
}

// above are the directories above the volume's.
func (v *onShare) above() []string { return v.record.Directory[:len(v.record.Directory)-1] }

// name is that of the volume's directory.
func (v *onShare) name() string { return v.record.Directory[len(v.record.Directory)-1] }

func (v *onShare) path() string { return subdir.Join(v.record.Directory) }

// place is what is found at a name.
type place struct {
	taken bool
	ours  bool // it is the volume's directory, by its qid
	qid   ninep.QID
}

// look tells what is at a name of a directory.
func (v *onShare) look(ctx context.Context, parent *ninep.Fid, name string) (place, error) {
	qid, err := tree.Lookup(ctx, parent, name)
	if errors.Is(err, unix.ENOENT) {
		return place{}, nil
	}
	if err != nil {
		return place{}, err
	}
	return place{taken: true, ours: v.qid != nil && v.qid.Is(qid), qid: qid}, nil
}

// put replaces the record of a volume that is there to stay. A record without
// a claim came too late: another controller has deleted the volume, whose place
// is given back before its record goes.
func (v *onShare) put(ctx context.Context) error {
	if err := v.store.Put(ctx, v.record); err != nil {
		return err
	}
	_, err := v.store.Claimed(ctx, v.record.Directory, v.record.UUID)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, record.ErrClaimed) {
		err = driver.Errorf(codes.Aborted, "volume %s was deleted by another controller meanwhile; try again", v.record.Name)
		return errors.Join(err, v.store.Remove(ctx, v.record.UUID))
	}
	return err
}

// forget gives the volume's place back and removes its record.
func (v *onShare) forget(ctx context.Context) error {
	if err := v.store.Unclaim(ctx, v.record.Directory, v.record.UUID); err != nil {
		return err
	}
	return v.store.Remove(ctx, v.record.UUID)
}

// purge removes whatever is at a name, a tree or a file. Nothing there is no
// error.
func purge(ctx context.Context, parent *ninep.Fid, name string) error {
	if err := emptyDir(ctx, parent, name); err != nil {
		return err
	}
	err := parent.Unlink(ctx, name, true)
	if errors.Is(err, unix.ENOTDIR) {
		err = parent.Unlink(ctx, name, false)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// emptyDir empties the directory at a name. Nothing there, or something else,
// is no error.
func emptyDir(ctx context.Context, parent *ninep.Fid, name string) error {
	dir, err := tree.Dir(ctx, parent, name)
	if ninep.IsErrno(err, unix.ENOENT, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Drop()
	return tree.Empty(ctx, dir)
}

// purgeAside removes the directories that attempts at making the volume have
// left aside.
func purgeAside(ctx context.Context, store *record.Store, id uuid.UUID) error {
	var left []string
	err := tree.List(ctx, store.New, func(entries []ninep.Dirent) (bool, error) {
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name, record.AsidePrefix(id)) {
				left = append(left, entry.Name)
			}
		}
		return true, nil
	})
	for _, name := range left {
		if err == nil {
			err = purge(ctx, store.New, name)
		}
	}
	return err
}
