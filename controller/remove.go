package controller

import (
	"context"
	"errors"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/tree"
	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// remove does with the volume's directory what how says, then gives back its
// place and forgets the volume. The record goes last but for an empty
// .csi-9p/trash/UUID: as long as there is a record, that directory tells that
// the volume's own was moved, whatever is in its place by now. Directories
// above the volume's stay.
func (v *onShare) remove(ctx context.Context, how params.OnDelete) error {
	var err error
	switch how {
	case params.Delete:
		err = v.discard(ctx)
	case params.Archive:
		err = v.archive(ctx)
	}
	if err != nil {
		return err
	}
	if err := v.forget(ctx); err != nil {
		return err
	}
	return purgeLeft(ctx, v.store, v.record.UUID)
}

// discard moves the directory to the trash, out of everybody's reach, and
// empties it there.
func (v *onShare) discard(ctx context.Context) error {
	parent, place, err := v.find(ctx)
	if err != nil {
		return err
	}
	if parent != nil {
		defer parent.Drop()
	}
	trashed := v.record.UUID.String()
	switch {
	case place.ours:
		if err := purge(ctx, v.store.Trash, trashed); err != nil {
			return err
		}
		if err := v.move(ctx, parent, v.store.Trash, trashed); err != nil {
			return err
		}
	case place.taken && v.record.State != record.Creating:
		moved, err := v.look(ctx, v.store.Trash, trashed)
		if err != nil {
			return err
		}
		if !moved.taken {
			return v.swapped(place.qid)
		}
	}
	return emptyDir(ctx, v.store.Trash, trashed)
}

// archive renames the directory to archived-NAME beside its place, or to a
// longer name where that one is taken.
func (v *onShare) archive(ctx context.Context) error {
	parent, here, err := v.find(ctx)
	if err != nil || parent == nil {
		return err
	}
	defer parent.Drop()
	free := ""
	for _, name := range v.archiveNames() {
		there, err := v.look(ctx, parent, name)
		if err != nil || there.ours {
			return err
		}
		if !there.taken && free == "" {
			free = name
		}
	}
	switch {
	case !here.taken:
		return nil
	case !here.ours:
		return v.swapped(here.qid)
	case free == "":
		return driver.Errorf(codes.FailedPrecondition, "%q cannot be archived: %q are taken; rename one of them", v.path(), v.archiveNames())
	}
	return v.move(ctx, parent, parent, free)
}

// archiveNames are the names to archive under, best first, that are no longer
// than a name can be.
func (v *onShare) archiveNames() []string {
	var names []string
	short, id := "archived-"+v.name(), v.record.UUID.String()
	for _, name := range []string{short, short + "-" + id, "archived-" + id} {
		if subdir.CheckName(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// find tells what is in the volume's place. parent is nil if not even the
// directory above is there; else the caller drops it.
func (v *onShare) find(ctx context.Context) (parent *ninep.Fid, here place, err error) {
	parent, err = tree.Down(ctx, v.root, v.above()...)
	if errors.Is(err, unix.ENOENT) {
		return nil, place{}, nil
	}
	if err != nil {
		return nil, place{}, err
	}
	if here, err = v.look(ctx, parent, v.name()); err != nil {
		parent.Drop()
		return nil, place{}, err
	}
	return parent, here, nil
}

// move renames the volume's directory and makes sure that it was the one that
// moved: somebody may have put another one in its place just before. That one
// is moved back.
func (v *onShare) move(ctx context.Context, parent, to *ninep.Fid, name string) error {
	if err := parent.Rename(ctx, v.name(), to, name); err != nil {
		return err
	}
	there, err := v.look(ctx, to, name)
	if err != nil || there.ours {
		return err
	}
	return errors.Join(v.swapped(there.qid), to.Rename(ctx, name, parent, v.name()))
}

// swapped refuses to touch what is in the volume's place but not the volume's.
func (v *onShare) swapped(found ninep.QID) error {
	return driver.Errorf(codes.FailedPrecondition, "%q is not the directory that was made for volume %s: its qid is %s and not %s; "+
		"put the volume's directory back, or remove what is there", v.path(), v.record.Name, record.Of(found), v.qid)
}
