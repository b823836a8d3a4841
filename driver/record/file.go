package record

import (
	"context"
	"errors"
	"fmt"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// read reads a regular file of 1 to limit bytes.
func (s *Store) read(ctx context.Context, dir *ninep.Fid, name string, limit int) ([]byte, error) {
	fid, err := dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	defer fid.Drop()
	if kind := fid.QID().Type; kind&(ninep.QTDir|ninep.QTSymlink) != 0 {
		return nil, fmt.Errorf("%s: %w: it is not a file", fid.Path(), ErrCorrupt)
	}
	// A FIFO planted here would block an open for reading; O_NONBLOCK does not wait.
	if err := fid.Open(ctx, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	data := make([]byte, limit+1)
	n, err := fid.Read(ctx, data, 0)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: %w", fid.Path(), ErrEmpty)
	}
	if n > limit {
		return nil, fmt.Errorf("%s: %w: it is longer than %d bytes", fid.Path(), ErrCorrupt, limit)
	}
	return data[:n], nil
}

// writeNew makes a file that must not exist, whole at once: a link to a file
// that is complete.
func (s *Store) writeNew(ctx context.Context, dir *ninep.Fid, name string, data []byte) error {
	temporary, fid, err := s.write(ctx, data)
	if err != nil {
		return err
	}
	defer fid.Drop()
	err = dir.Link(ctx, fid, name)
	if noLinks(err) {
		return s.rename(ctx, temporary, dir, name, true)
	}
	// What is left of the temporary name is swept up later.
	_ = s.tmp.Unlink(ctx, temporary, false)
	return err
}

// replace makes or replaces a file, whole at once and for good.
func (s *Store) replace(ctx context.Context, dir *ninep.Fid, name string, data []byte) error {
	temporary, fid, err := s.write(ctx, data)
	if err != nil {
		return err
	}
	fid.Drop()
	if err := s.rename(ctx, temporary, dir, name, false); err != nil {
		return err
	}
	return sync(ctx, dir)
}

// sync makes the names in dir outlive a crash of the server, as far as it can:
// some have no fsync for directories.
func sync(ctx context.Context, dir *ninep.Fid) error {
	fid, err := dir.Walk(ctx)
	if err != nil {
		return err
	}
	defer fid.Drop()
	if err := fid.Open(ctx, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return err
	}
	err = fid.Fsync(ctx, false)
	if ninep.IsErrno(err, unix.EINVAL, unix.EBADF, unix.EOPNOTSUPP, unix.ENOSYS) {
		return nil
	}
	return err
}

// rename moves a temporary file to its place. With exclusive it first takes
// the name by an empty file that O_EXCL makes, for servers without links; a
// file that a kill left empty counts as none.
func (s *Store) rename(ctx context.Context, temporary string, dir *ninep.Fid, name string, exclusive bool) error {
	if exclusive {
		if err := s.reserve(ctx, dir, name); err != nil {
			_ = s.tmp.Unlink(ctx, temporary, false)
			return err
		}
	}
	return s.tmp.Rename(ctx, temporary, dir, name)
}

// reserve makes an empty file by O_EXCL, or finds one.
func (s *Store) reserve(ctx context.Context, dir *ninep.Fid, name string) error {
	fid, err := create(ctx, dir, name)
	if err == nil {
		return fid.Clunk(ctx)
	}
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if _, empty := s.read(ctx, dir, name, 1); errors.Is(empty, ErrEmpty) {
		return nil
	}
	return err
}

// write writes a file of its own in tmp and makes it durable. The caller
// drops the fid.
func (s *Store) write(ctx context.Context, data []byte) (name string, fid *ninep.Fid, err error) {
	name = uuid.NewString()
	if fid, err = create(ctx, s.tmp, name); err != nil {
		return "", nil, err
	}
	if _, err = fid.Write(ctx, data, 0); err == nil {
		err = fid.Fsync(ctx, false)
	}
	if err != nil {
		fid.Drop()
		_ = s.tmp.Unlink(ctx, name, false)
		return "", nil, err
	}
	return name, fid, nil
}

// create makes a file by O_EXCL and returns it open for writing.
func create(ctx context.Context, dir *ninep.Fid, name string) (*ninep.Fid, error) {
	fid, err := dir.Walk(ctx)
	if err != nil {
		return nil, err
	}
	if err := fid.Create(ctx, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600, ninep.NoUID); err != nil {
		fid.Drop()
		return nil, err
	}
	return fid, nil
}

// noLinks reports whether the server or its file system has no hard links.
func noLinks(err error) bool {
	return ninep.IsErrno(err, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.EMLINK)
}
