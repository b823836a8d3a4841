package record

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// maxClaim bounds a claim's file in bytes.
const maxClaim = 1 << 10

// Claim says which volume a place belongs to, and which directory is to be
// there. It is made once and never changed, so that of several directories that
// were made for one volume, by attempts that knew nothing of each other, one
// counts.
type Claim struct {
	UUID  uuid.UUID `json:"uuid"`
	Aside string    `json:"aside"` // the directory's name in Store.New before it is in its place
	QID   QID       `json:"qid"`
}

// AsideName returns a name in Store.New for a volume's directory, another one
// each time.
func AsideName(id uuid.UUID) string { return AsidePrefix(id) + uuid.NewString() }

// AsidePrefix is what every AsideName of a volume begins with.
func AsidePrefix(id uuid.UUID) string { return id.String() + "." }

func claimName(directory []string) string {
	sum := sha256.Sum256([]byte(subdir.Join(directory)))
	return hex.EncodeToString(sum[:])
}

// Claim takes a place for a volume, whose record exists already, and returns
// the claim that counts: c, or an earlier one of the same volume. A place that
// is another volume's is ErrClaimed.
func (s *Store) Claim(ctx context.Context, directory []string, c Claim) (Claim, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return Claim{}, err
	}
	err = s.writeNew(ctx, s.dirs, claimName(directory), append(data, '\n'))
	if errors.Is(err, unix.EEXIST) {
		return s.Claimed(ctx, directory, c.UUID)
	}
	return c, err
}

// Claimed returns the claim that a volume has on a place. A place that nobody
// has claimed is unix.ENOENT, one that is another volume's ErrClaimed.
func (s *Store) Claimed(ctx context.Context, directory []string, id uuid.UUID) (Claim, error) {
	name := claimName(directory)
	data, err := s.read(ctx, s.dirs, name, maxClaim)
	if err != nil {
		return Claim{}, err
	}
	c, err := DecodeClaim(data)
	if err != nil {
		return Claim{}, fmt.Errorf("%s/dirs/%s: %w; remove it", subdir.Reserved, name, err)
	}
	if c.UUID != id {
		return Claim{}, fmt.Errorf("%w: %s is that of %s", ErrClaimed, subdir.Join(directory), c.UUID)
	}
	return c, nil
}

// DecodeClaim reads a claim's file. Errors wrap ErrCorrupt.
func DecodeClaim(data []byte) (Claim, error) {
	var c Claim
	if err := strict(data, &c); err != nil {
		return Claim{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if !strings.HasPrefix(c.Aside, AsidePrefix(c.UUID)) || subdir.CheckName(c.Aside) != nil || !c.QID.isDir() {
		return Claim{}, fmt.Errorf("%w: it is no claim", ErrCorrupt)
	}
	return c, nil
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

// Unclaim gives a place back if the volume holds it.
func (s *Store) Unclaim(ctx context.Context, directory []string, id uuid.UUID) error {
	if _, err := s.Claimed(ctx, directory, id); err != nil {
		if errors.Is(err, ErrClaimed) || errors.Is(err, ErrEmpty) {
			return nil
		}
		return missing(err)
	}
	return missing(s.dirs.Unlink(ctx, claimName(directory), false))
}
