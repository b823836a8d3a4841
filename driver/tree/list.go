package tree

import (
	"context"
	"fmt"

	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
)

// listBuffer is the room for one Rreaddir: hundreds of entries at a time,
// whatever the size of the directory.
const listBuffer = 64 << 10

// List calls each with one batch of dir's entries after the other, without "."
// and "..". It stops when each answers false. Names that no Linux file system
// could have are an error: the server is not to be trusted with the rest.
func List(ctx context.Context, dir *ninep.Fid, each func([]ninep.Dirent) (more bool, err error)) error {
	fid, err := dir.Walk(ctx)
	if err != nil {
		return err
	}
	defer fid.Drop()
	if err := fid.Open(ctx, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return err
	}
	buffer := make([]byte, listBuffer)
	for offset := uint64(0); ; {
		data, err := fid.Readdir(ctx, offset, buffer)
		if err != nil || len(data) == 0 {
			return err
		}
		entries, next, err := decode(data)
		if err != nil {
			return fmt.Errorf("%s: %w", dir.Path(), err)
		}
		if next == offset {
			return fmt.Errorf("%s: %w: the directory goes round in circles", dir.Path(), ninep.ErrMalformed)
		}
		if more, err := each(entries); err != nil || !more {
			return err
		}
		offset = next
	}
}

// decode returns the entries of a batch and the cookie that continues after it.
func decode(data []byte) (entries []ninep.Dirent, next uint64, err error) {
	for len(data) > 0 {
		var entry ninep.Dirent
		if entry, data, err = ninep.NextDirent(data); err != nil {
			return nil, 0, err
		}
		next = entry.Offset
		if entry.Name == "." || entry.Name == ".." {
			continue
		}
		if err := subdir.CheckName(entry.Name); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ninep.ErrMalformed, err)
		}
		entries = append(entries, entry)
	}
	return entries, next, nil
}
