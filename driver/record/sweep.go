package record

import (
	"context"
	"errors"
	"time"

	"github.com/csi-9p/csi-9p/driver/tree"
	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
)

// unfinished is the age from which on nobody is writing a temporary file any
// more. It is far longer than a write takes, because the server's clock may
// differ from ours.
const unfinished = 24 * time.Hour

// Sweep removes the temporary files that killed processes left.
func (s *Store) Sweep(ctx context.Context) error {
	before := time.Now().Add(-unfinished).Unix()
	return tree.List(ctx, s.tmp, func(entries []ninep.Dirent) (bool, error) {
		for _, entry := range entries {
			fid, attr, err := s.tmp.WalkAttr(ctx, entry.Name)
			if errors.Is(err, unix.ENOENT) {
				continue
			}
			if err != nil {
				return false, err
			}
			fid.Drop()
			if attr.Valid&ninep.AttrMtime == 0 || int64(attr.Mtime.Sec) > before {
				continue
			}
			if err := missing(s.tmp.Unlink(ctx, entry.Name, false)); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}
