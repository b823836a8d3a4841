package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/tree"
	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// parentMode is that of the directories above a volume's.
const parentMode = 0o755

// create goes from a record to a directory in its place:
//
//  1. make the directory aside, as .csi-9p/new/UUID.RANDOM, with owner and mode;
//  2. claim the place, for this volume and for this directory, by its qid; the
//     first claim counts, whichever attempt or controller it came from;
//  3. make the directories above the place;
//  4. rename the directory into its place; as its name aside is never used
//     again, this happens once;
//  5. mark the record ready.
func (v *onShare) create(ctx context.Context) error {
	if err := v.store.CheckAncestors(ctx, v.record.Directory); err != nil {
		return err
	}
	claim, err := v.claim(ctx)
	if err != nil {
		return err
	}
	v.qid = &claim.QID
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
	if err := v.place(ctx, parent, claim.Aside); err != nil {
		return err
	}
	if err := purgeAside(ctx, v.store, v.record.UUID); err != nil {
		return err
	}
	v.record.State, v.record.QID = record.Ready, v.qid
	return v.put(ctx)
}

// claim finds the volume's claim, or makes a directory and claims for it.
func (v *onShare) claim(ctx context.Context) (record.Claim, error) {
	claim, err := v.store.Claimed(ctx, v.record.Directory, v.record.UUID)
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, record.ErrEmpty) {
		return claim, err
	}
	if claim, err = v.makeAside(ctx); err != nil {
		return record.Claim{}, err
	}
	return v.store.Claim(ctx, v.record.Directory, claim)
}

// makeAside makes a directory aside, with owner and mode.
func (v *onShare) makeAside(ctx context.Context) (record.Claim, error) {
	aside := record.AsideName(v.record.UUID)
	if _, err := v.store.New.Mkdir(ctx, aside, 0o700, ninep.NoUID); err != nil {
		return record.Claim{}, err
	}
	dir, err := tree.Dir(ctx, v.store.New, aside)
	if err != nil {
		return record.Claim{}, v.meanwhile(err)
	}
	defer dir.Drop()
	if err := v.setOwner(ctx, dir); err != nil {
		return record.Claim{}, v.meanwhile(err)
	}
	return record.Claim{UUID: v.record.UUID, Aside: aside, QID: record.Of(dir.QID())}, nil
}

// meanwhile makes the absence of what was there a moment ago an error that the
// caller tries again: another controller works on the volume.
func (v *onShare) meanwhile(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return v.overtaken()
	}
	return err
}

func (v *onShare) overtaken() error {
	return driver.Errorf(codes.Aborted, "volume %s was changed by another controller; try again", v.record.Name)
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
			return driver.Errorf(driver.Code(err), "giving the volume's directory to %d:%d: %w; check uid, gid and attachUid", p.UID, p.GID, err)
		}
	}
	mode := ninep.SetAttr{Valid: ninep.SetMode, Mode: p.Mode}
	if err := dir.Setattr(ctx, mode); err != nil {
		return fmt.Errorf("giving the volume's directory mode %04o: %w", p.Mode, err)
	}
	return nil
}

// place renames the directory from aside to its place, where nothing may be.
func (v *onShare) place(ctx context.Context, parent *ninep.Fid, aside string) error {
	here, err := v.look(ctx, parent, v.name())
	if err == nil && !here.taken {
		err = v.store.New.Rename(ctx, aside, parent, v.name())
		if err == nil {
			return nil
		}
		if !ninep.IsErrno(err, unix.ENOENT, unix.ENOTEMPTY, unix.EEXIST, unix.ENOTDIR) {
			return err
		}
		if here, err = v.look(ctx, parent, v.name()); err == nil && !here.taken {
			return v.vanished(ctx)
		}
	}
	if err != nil || here.ours {
		return err
	}
	return driver.Errorf(codes.AlreadyExists, "%q exists on the share and is not this volume's; "+
		"remove it, choose another subDir, or use it by a static PersistentVolume", v.path())
}

// vanished gives up a claim for a directory that is nowhere any more, so that
// the next attempt makes another one.
func (v *onShare) vanished(ctx context.Context) error {
	if err := v.store.Unclaim(ctx, v.record.Directory, v.record.UUID); err != nil {
		return err
	}
	return driver.Errorf(codes.Aborted, "the directory of volume %s was removed while it was being made; try again", v.record.Name)
}

// abandon takes back what create did. It fails if another controller has
// finished the volume meanwhile. It removes no directory that has something in
// it.
func (v *onShare) abandon(ctx context.Context) error {
	r, err := v.store.Get(ctx, v.record.UUID)
	if err != nil {
		return v.meanwhile(err)
	}
	if r.State == record.Ready {
		return v.overtaken()
	}
	parent, here, err := v.find(ctx)
	if err == nil && parent != nil {
		defer parent.Drop()
		if here.ours {
			err = parent.Unlink(ctx, v.name(), true)
		}
	}
	if err != nil && !ninep.IsErrno(err, unix.ENOENT, unix.ENOTDIR) {
		return err
	}
	if err := v.forget(ctx); err != nil {
		return err
	}
	return purgeAside(ctx, v.store, v.record.UUID)
}
