package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// shareFile names the share, beside the store's directories.
const shareFile = "share.json"

// maxShare bounds its size in bytes.
const maxShare = 1 << 10

// share is what shareFile has.
type share struct {
	Version int       `json:"version"`
	UUID    uuid.UUID `json:"uuid"`
}

// Share returns the UUID of the share, the same by whatever road and to whomever.
// Who asks first makes it; it is never changed.
func (s *Store) Share(ctx context.Context) (uuid.UUID, error) {
	id, err := s.readShare(ctx)
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, ErrEmpty) {
		return id, err
	}
	data, err := json.Marshal(share{Version: Version, UUID: uuid.New()})
	if err != nil {
		return uuid.Nil, err
	}
	if err = s.writeNew(ctx, s.top, shareFile, append(data, '\n')); err == nil {
		err = sync(ctx, s.top) // nodes are labelled by it: it has to outlive the server's crash
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return uuid.Nil, err
	}
	return s.readShare(ctx)
}

func (s *Store) readShare(ctx context.Context) (uuid.UUID, error) {
	data, err := s.read(ctx, s.top, shareFile, maxShare)
	if err != nil {
		return uuid.Nil, err
	}
	id, err := DecodeShare(data)
	if err != nil {
		return uuid.Nil, fmt.Errorf("%s/%s: %w; restore it", subdir.Reserved, shareFile, err)
	}
	return id, nil
}

// DecodeShare reads the file that names a share. Errors wrap ErrCorrupt.
func DecodeShare(data []byte) (uuid.UUID, error) {
	var v share
	if err := strict(data, &v); err != nil {
		return uuid.Nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if v.Version != Version || v.UUID == uuid.Nil {
		return uuid.Nil, fmt.Errorf("%w: it names no share", ErrCorrupt)
	}
	return v.UUID, nil
}
