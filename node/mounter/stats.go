package mounter

import (
	"context"
	"fmt"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/usage"
	"golang.org/x/sys/unix"
)

// Stats returns the volume's size and use. It asks the server and waits no
// longer than ctx; a server that is lost by then is ninep.ErrLost, at once if it
// is known to be.
func (v *Volume) Stats(ctx context.Context) (Usage, error) {
	if v.session.unreachable() {
		return Usage{}, v.session.explain(fmt.Errorf("it does not answer: %w", ninep.ErrLost))
	}
	share, err := v.root.Statfs(ctx)
	if ninep.IsErrno(err, unix.EOPNOTSUPP, unix.ENOSYS) {
		// Of the share nothing is known: what the volume may have counts as room.
		size := uint64(v.capacity.Load())
		share, err = ninep.Statfs{BlockSize: 1, Blocks: size, BlocksFree: size, BlocksAvail: size}, nil
	}
	if err != nil {
		return Usage{}, v.session.explain(err)
	}
	return v.figures(ctx, share), nil
}

// figures makes the volume's own figures of the share's.
func (v *Volume) figures(ctx context.Context, share ninep.Statfs) Usage {
	whole := ofShare(share)
	if v.spec.Context.Parameters.Capacity != params.CapacityReport {
		return whole
	}
	var count usage.Count
	if now := v.served.Load(); now != nil && now.scanner != nil {
		count, _ = now.scanner.Last(ctx)
	}
	return ofVolume(whole, v.capacity.Load(), count)
}

// ofShare are the figures of the whole share.
func ofShare(share ninep.Statfs) Usage {
	block := int64(share.BlockSize)
	return Usage{
		Bytes: Counts{
			Total:     block * int64(share.Blocks),
			Available: block * int64(share.BlocksAvail),
			Used:      block * int64(share.Blocks-min(share.BlocksFree, share.Blocks)),
		},
		Inodes: Counts{
			Total:     int64(share.Files),
			Available: int64(share.FilesFree),
			Used:      int64(share.Files - min(share.FilesFree, share.Files)),
		},
	}
}

// ofVolume are the figures of a volume of that capacity (0: not limited) on a
// share. Before the first count what is used is not known: the volume then has
// a size, and the room that the share leaves of it.
func ofVolume(whole Usage, capacity int64, count usage.Count) Usage {
	u := Usage{Scanned: count.Time, Bytes: Counts{Total: capacity, Used: count.Bytes}}
	if capacity == 0 {
		u.Bytes.Total = whole.Bytes.Total
	}
	u.Bytes.Available = max(0, min(u.Bytes.Total-count.Bytes, whole.Bytes.Available))
	if whole.Inodes.Total > 0 { // a server that counts none says 0
		u.Inodes = Counts{
			Total:     count.Inodes + whole.Inodes.Available,
			Available: whole.Inodes.Available,
			Used:      count.Inodes,
		}
	}
	return u
}
