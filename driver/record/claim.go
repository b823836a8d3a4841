package record

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// ErrClaimed means that a directory belongs to another volume, or lies inside
// one that does.
var ErrClaimed = errors.New("directory belongs to another volume")

// claimSize is a UUID and a newline.
const claimSize = 37

func claimName(directory []string) string {
	sum := sha256.Sum256([]byte(subdir.Join(directory)))
	return hex.EncodeToString(sum[:])
}

// Claim takes a directory for a volume, whose record exists already. A
// directory that the volume has claimed before is no error.
func (s *Store) Claim(ctx context.Context, directory []string, id uuid.UUID) error {
	err := s.writeNew(ctx, s.dirs, claimName(directory), []byte(id.String()+"\n"))
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	owner, err := s.Owner(ctx, directory)
	if err != nil {
		return err
	}
	if owner != id {
		return fmt.Errorf("%w: %s is that of %s", ErrClaimed, subdir.Join(directory), owner)
	}
	return nil
}

// Owner returns the volume that has claimed a directory; none is unix.ENOENT.
func (s *Store) Owner(ctx context.Context, directory []string) (uuid.UUID, error) {
	name := claimName(directory)
	data, err := s.read(ctx, s.dirs, name, claimSize)
	if err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.Parse(strings.TrimSuffix(string(data), "\n"))
	if err != nil {
		return uuid.Nil, fmt.Errorf("%s/dirs/%s: %w: it holds no UUID; remove it", subdir.Reserved, name, ErrCorrupt)
	}
	return id, nil
}

// CheckAncestors fails with ErrClaimed if a directory lies inside that of a
// volume.
func (s *Store) CheckAncestors(ctx context.Context, directory []string) error {
	for depth := 1; depth < len(directory); depth++ {
		fid, err := s.dirs.Walk(ctx, claimName(directory[:depth]))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		fid.Drop()
		return fmt.Errorf("%w: %s lies inside %s", ErrClaimed, subdir.Join(directory), subdir.Join(directory[:depth]))
	}
	return nil
}

// Unclaim gives a directory back if the volume holds it.
func (s *Store) Unclaim(ctx context.Context, directory []string, id uuid.UUID) error {
	owner, err := s.Owner(ctx, directory)
	if err != nil {
		return missing(err)
	}
	if owner != id {
		return nil
	}
	return missing(s.dirs.Unlink(ctx, claimName(directory), false))
}
