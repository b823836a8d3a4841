package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/tree"
	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// parentMode is that of the directories above a volume's.
const parentMode = 0o755

// create goes from a record to a directory in its place:
//
//  1. claim the place, so that no other volume can take it;
//  2. make the directory aside, as .csi-9p/new/UUID, with owner and mode, and
//     note its qid in the record, by which it is known from then on;
//  3. make the directories above the place;
//  4. rename the directory into its place;
//  5. mark the record ready.
//
// Two controllers that do this at once for one volume end with one directory:
// see adopt.
func (v *onShare) create(ctx context.Context) error {
	if err := v.store.Claim(ctx, v.record.Directory, v.record.UUID); err != nil {
		return err
	}
	if err := v.store.CheckAncestors(ctx, v.record.Directory); err != nil {
		return err
	}
	parent, err := tree.MakeAll(ctx, v.root, parentMode, v.above()...)
	if err != nil {
		return err
	}
	defer parent.Drop()
	// Whoever claimed one of those directories after the first look had made
	// sure before that it was not there; now it is.
	if err := v.store.CheckAncestors(ctx, v.record.Directory); err != nil {
		return err
	}
	if err := v.adopt(ctx, parent); err != nil {
		return err
	}
	if err := v.place(ctx, parent); err != nil {
		return err
	}
	ready := v.record.Clone()
	ready.State = record.Ready
	if err := v.store.Put(ctx, ready); err != nil {
		return err
	}
	v.record = ready
	return nil
}

// adopt makes sure that the volume's directory exists, aside or in its place,
// and that the record has its qid.
//
// A directory made aside while the record already knows another one that is in
// its place means that another controller has been through here meanwhile: it
// noted the qid before it renamed, so reading the record after making the
// directory cannot miss it.
func (v *onShare) adopt(ctx context.Context, parent *ninep.Fid) error {
	if place, err := v.look(ctx, parent, v.name()); place.ours || err != nil {
		return err
	}
	aside := v.record.UUID.String()
	_, err := v.store.New.Mkdir(ctx, aside, 0o700, ninep.NoUID)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	if v.record, err = v.store.Get(ctx, v.record.UUID); err != nil {
		return v.meanwhile(err)
	}
	if place, err := v.look(ctx, parent, v.name()); err != nil {
		return err
	} else if place.ours {
		return purge(ctx, v.store.New, aside)
	}
	return v.prepare(ctx, aside)
}

// prepare gives the directory aside its owner and mode and notes its qid.
func (v *onShare) prepare(ctx context.Context, aside string) error {
	dir, err := tree.Dir(ctx, v.store.New, aside)
	if err != nil {
		return v.meanwhile(err)
	}
	defer dir.Drop()
	if err := v.setOwner(ctx, dir); err != nil {
		return err
	}
	qid := record.Of(dir.QID())
	if v.record.QID != nil && *v.record.QID == qid {
		return nil
	}
	v.record.QID = &qid
	return v.store.Put(ctx, v.record)
}

// meanwhile makes the absence of what was there a moment ago an error that the
// caller tries again: another controller works on the volume.
func (v *onShare) meanwhile(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return status.Errorf(codes.Aborted, "volume %s was changed by another controller; try again", v.record.Name)
	}
	return err
}

// setOwner changes what differs: a server that is not root may refuse even to
// set what is set already. The mode comes last, as chown clears its upper bits.
func (v *onShare) setOwner(ctx context.Context, dir *ninep.Fid) error {
	p, err := v.record.Parsed()
	if err != nil {
		return err
	}
	attr, err := dir.Getattr(ctx, ninep.AttrMode|ninep.AttrUID|ninep.AttrGID)
	if err != nil {
		return err
	}
	if attr.UID != p.UID || attr.GID != p.GID {
		owner := ninep.SetAttr{Valid: ninep.SetUID | ninep.SetGID, UID: p.UID, GID: p.GID}
		if err := dir.Setattr(ctx, owner); err != nil {
			return fmt.Errorf("giving the volume's directory to %d:%d: %w; check uid, gid and attachUid", p.UID, p.GID, err)
		}
	}
	mode := ninep.SetAttr{Valid: ninep.SetMode, Mode: p.Mode}
	if err := dir.Setattr(ctx, mode); err != nil {
		return fmt.Errorf("giving the volume's directory mode %04o: %w", p.Mode, err)
	}
	return nil
}

// place renames the directory from aside to its place, where nothing may be.
func (v *onShare) place(ctx context.Context, parent *ninep.Fid) error {
	place, err := v.look(ctx, parent, v.name())
	if err == nil && !place.taken {
		err = v.store.New.Rename(ctx, v.record.UUID.String(), parent, v.name())
		if err == nil {
			return nil
		}
		if !isAny(err, unix.ENOENT, unix.ENOTEMPTY, unix.EEXIST, unix.ENOTDIR) {
			return err
		}
		renaming := err
		if place, err = v.look(ctx, parent, v.name()); err == nil && !place.taken {
			return v.meanwhile(renaming)
		}
	}
	if err != nil || place.ours {
		return err
	}
	return status.Errorf(codes.AlreadyExists, "%q exists on the share and is not this volume's; remove it, choose another subDir, or use it by a static PersistentVolume", v.path())
}

// abandon takes back what create did. It removes no directory that somebody
// has used: another controller may have finished the volume.
func (v *onShare) abandon(ctx context.Context) error {
	parent, err := tree.Down(ctx, v.root, v.above()...)
	if err == nil {
		defer parent.Drop()
		var place place
		if place, err = v.look(ctx, parent, v.name()); err == nil && place.ours {
			err = parent.Unlink(ctx, v.name(), true)
		}
	}
	if err != nil && !isAny(err, unix.ENOENT, unix.ENOTDIR) {
		return err
	}
	err = v.store.New.Unlink(ctx, v.record.UUID.String(), true)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return v.forget(ctx)
}
