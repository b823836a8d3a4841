package tree

import (
	"context"
	"errors"
	"fmt"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// removals is how many names of a directory are removed at once.
	removals = 8
	// patience is how many batches in a row may shrink nothing before Empty
	// gives up: names that change kind between listing and removal are tried
	// again, names that reappear for ever are not.
	patience = 8
)

// ErrBusy means that a tree could not be emptied because somebody keeps
// filling it.
var ErrBusy = errors.New("directory does not get empty")

// Empty removes everything in dir and leaves dir itself. It never leaves dir: a
// directory inside is walked to by its one name and emptied only if it still is
// a directory, a symlink is removed and not followed.
//
// However deep the tree, two levels are open at a time: a directory that is
// not empty and lies deeper is moved up into dir first. However wide, one batch
// of entries is in memory. A call that fails can be repeated.
func Empty(ctx context.Context, dir *ninep.Fid) error {
	return sweep(ctx, dir, func(ctx context.Context, name string) error {
		child, err := Dir(ctx, dir, name)
		if err != nil {
			return ignore(err, unix.ENOENT, unix.ENOTDIR)
		}
		defer child.Drop()
		return sweep(ctx, child, func(ctx context.Context, deeper string) error {
			return hoist(ctx, child, deeper, dir)
		})
	})
}

// hoist moves the directory name of from into top, under a name that nobody
// else uses.
func hoist(ctx context.Context, from *ninep.Fid, name string, top *ninep.Fid) error {
	err := from.Rename(ctx, name, top, ".csi-9p-"+uuid.NewString())
	return ignore(err, unix.ENOENT)
}

// sweep removes the entries of dir until there are none. full is called for
// each directory that is not empty, and is to empty it or move it away.
func sweep(ctx context.Context, dir *ninep.Fid, full func(context.Context, string) error) error {
	for idle := 0; idle < patience; {
		found, removed, err := sweepBatch(ctx, dir, full)
		if err != nil || found == 0 {
			return err
		}
		if removed > 0 {
			idle = 0
		} else {
			idle++
		}
	}
	return fmt.Errorf("%s: %w; stop what writes into it", dir.Path(), ErrBusy)
}

// sweepBatch lists one batch from the start of dir, which is where what is
// left always is, and removes it.
func sweepBatch(ctx context.Context, dir *ninep.Fid, full func(context.Context, string) error) (found, removed int, err error) {
	var batch []ninep.Dirent
	err = List(ctx, dir, func(entries []ninep.Dirent) (bool, error) {
		batch = entries
		return len(batch) == 0, nil
	})
	if err != nil {
		return 0, 0, ignore(err, unix.ENOENT) // dir itself was removed
	}
	gone := make([]bool, len(batch))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(removals)
	for i, entry := range batch {
		group.Go(func() (err error) {
			gone[i], err = remove(groupCtx, dir, entry, full)
			return err
		})
	}
	err = group.Wait()
	for _, ok := range gone {
		if ok {
			removed++
		}
	}
	return len(batch), removed, err
}

// remove removes one entry. gone is false if the entry changed its kind or was
// filled again meanwhile, and is to be listed again.
func remove(ctx context.Context, dir *ninep.Fid, entry ninep.Dirent, full func(context.Context, string) error) (gone bool, err error) {
	isDir := entry.QID.IsDir()
	err = dir.Unlink(ctx, entry.Name, isDir)
	if isDir && ninep.IsErrno(err, unix.ENOTEMPTY, unix.EEXIST) {
		if err := full(ctx, entry.Name); err != nil {
			return false, err
		}
		err = dir.Unlink(ctx, entry.Name, true)
	}
	if ninep.IsErrno(err, unix.EISDIR, unix.ENOTDIR, unix.ENOTEMPTY, unix.EEXIST) {
		return false, nil
	}
	err = ignore(err, unix.ENOENT)
	return err == nil, err
}

// ignore returns err unless it is one of the numbers.
func ignore(err error, numbers ...unix.Errno) error {
	if ninep.IsErrno(err, numbers...) {
		return nil
	}
	return err
}
