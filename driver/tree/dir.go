// Package tree works on directories of a share by fid: every step is one name
// of one directory, so that no path string, no ".." and no symlink ever decides
// where it lands.
package tree

import (
	"context"
	"errors"
	"fmt"

	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
)

// Dir walks to the directory name of parent. Anything else in its place, a
// symlink above all, is unix.ENOTDIR. The caller clunks the fid.
func Dir(ctx context.Context, parent *ninep.Fid, name string) (*ninep.Fid, error) {
	fid, err := parent.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	if !fid.QID().IsDir() {
		path := fid.Path()
		fid.Drop()
		return nil, fmt.Errorf("%s: %w", path, unix.ENOTDIR)
	}
	return fid, nil
}

// Down walks from dir through names, one at a time; none: to dir itself. The
// caller clunks the fid.
func Down(ctx context.Context, dir *ninep.Fid, names ...string) (*ninep.Fid, error) {
	return descend(ctx, dir, names, Dir)
}

// MakeDir is Dir, but makes the directory with mode if it is missing. The mode
// of one that exists is left alone.
func MakeDir(ctx context.Context, parent *ninep.Fid, name string, mode uint32) (*ninep.Fid, error) {
	fid, err := Dir(ctx, parent, name)
	if !errors.Is(err, unix.ENOENT) {
		return fid, err
	}
	if _, err := parent.Mkdir(ctx, name, mode, ninep.NoUID); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	return Dir(ctx, parent, name)
}

// MakeAll is Down, but makes the directories that are missing.
func MakeAll(ctx context.Context, dir *ninep.Fid, mode uint32, names ...string) (*ninep.Fid, error) {
	return descend(ctx, dir, names, func(ctx context.Context, parent *ninep.Fid, name string) (*ninep.Fid, error) {
		return MakeDir(ctx, parent, name, mode)
	})
}

func descend(ctx context.Context, dir *ninep.Fid, names []string,
	step func(context.Context, *ninep.Fid, string) (*ninep.Fid, error)) (*ninep.Fid, error) {
	if len(names) == 0 {
		return dir.Walk(ctx)
	}
	for i, name := range names {
		next, err := step(ctx, dir, name)
		if i > 0 {
			dir.Drop()
		}
		if err != nil {
			return nil, err
		}
		dir = next
	}
	return dir, nil
}

// Lookup returns the qid of name in dir.
func Lookup(ctx context.Context, dir *ninep.Fid, name string) (ninep.QID, error) {
	fid, err := dir.Walk(ctx, name)
	if err != nil {
		return ninep.QID{}, err
	}
	defer fid.Drop()
	return fid.QID(), nil
}
