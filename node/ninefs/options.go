package ninefs

import (
	"context"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/transport"
)

// CacheMode says how much the kernel may remember.
type CacheMode uint8

const (
	// CloseToOpen shows what other clients closed from the next open on. Names and attributes live for
	// [Options.AttrTimeout]; nothing written waits in the kernel but pages of shared mappings.
	CloseToOpen CacheMode = iota
	// CacheNone asks the server every time. Shared mappings are refused (ENODEV).
	CacheNone
	// Loose is for a volume that nobody writes but this mount: the kernel keeps what is written until close(2), fsync(2) or
	// its own good time, and from then on knows the size and the times of a file better than the server. Names, missing
	// ones included, and attributes live for [LooseTimeout] at least.
	Loose
)

// Defaults of [Options].
const (
	DefaultAttrTimeout      = time.Second
	LooseTimeout            = time.Minute
	DefaultWritebackTimeout = 30 * time.Second
)

// Options say what a mount shows and how. Zero values stand for the defaults.
type Options struct {
	// Root is the volume's directory. The file system owns it from New on.
	Root *ninep.Fid
	// Attach makes the server the judge of permissions: it returns the volume's directory as the server shows it to a user,
	// and the file system owns it. nil: everybody works through Root, the kernel checks permissions, and what is created is
	// given to its maker.
	Attach func(ctx context.Context, uid uint32) (*ninep.Fid, error)
	// Arena is where payloads live; a READ takes its slot of it.
	Arena *transport.Arena
	Cache CacheMode
	// AttrTimeout is how long names and attributes live in CloseToOpen, negative for not at all, and in Loose if it is longer
	// than LooseTimeout.
	AttrTimeout time.Duration
	// WritebackTimeout is how long write-back waits for a lost server before it fails with EIO. A process killed meanwhile
	// can't end before it did.
	WritebackTimeout time.Duration
	// Unreachable, if set, tells that the server is lost or says nothing any more. Then stat(2) of what needs no path on the
	// server, a mount point above all, and statfs(2) are answered by what was last known. It must not block.
	Unreachable func() bool
	// Fids keeps fids for nodes; mounts of one session share one. nil: one of its own.
	Fids *FidCache
	// Locks grants locks before the server is asked; mounts that can show the same files share one. nil: one of its own.
	Locks *LockTable
	// LocalLocks keeps locks on this machine, for servers that only pretend.
	LocalLocks bool
	// Threaded says that requests of this mount, or of another of the same session, are read on goroutines that are locked to
	// their threads, as those of [fuse.Config.IOURing] are. Such a goroutine cannot go on with what another began
	// ([iter.Pull]: the runtime ends the process), and may be handed replies to calls that others made, so workers wait for those.
	Threaded bool
	// Usage, if set, is what statfs(2) shows instead of the server's whole file system.
	Usage func(context.Context) Usage
}

// Usage is a volume's own size and use, in bytes and files. What is not known leaves the server's figures standing.
type Usage struct {
	Capacity  uint64 // 0: not known
	Used      uint64
	Files     uint64
	UsedKnown bool // Used and Files are right
}

func (o Options) withDefaults() Options {
	if o.AttrTimeout == 0 {
		o.AttrTimeout = DefaultAttrTimeout
	}
	if o.WritebackTimeout == 0 {
		o.WritebackTimeout = DefaultWritebackTimeout
	}
	if o.Fids == nil {
		o.Fids = NewFidCache(DefaultMaxFids)
	}
	if o.Locks == nil {
		o.Locks = NewLockTable()
	}
	return o
}

// initFlags are those of [FS.InitFlags] that every file system has.
//
// Neither AutoInvalData nor ExplicitInvalData is among them. The first would drop all pages of a file after each of this
// mount's own writes, because the kernel can't tell whose write moved the modification time; with the second the kernel would
// keep the zeros after the old end of a file that another client made longer. With neither it drops the pages of a file whose
// size changed, and this package those of a file whose content did (fuse_change_attributes of Linux 6.18).
//
// HandleKillprivV2 because for open(2) with O_TRUNC and for direct I/O the kernel clears setuid bits in no other way. File
// capabilities are the server's host's to remove, which does so on any write.
const initFlags = fuse.AsyncRead | fuse.PosixLocks | fuse.FlockLocks | fuse.AtomicOTrunc | fuse.DoReaddirplus |
	fuse.ReaddirplusAuto | fuse.AsyncDIO | fuse.ParallelDirops | fuse.HandleKillprivV2

// ttl is how long the kernel may go by names and attributes.
func (o *Options) ttl() time.Duration {
	switch o.Cache {
	case CacheNone:
		return 0
	case Loose:
		return max(o.AttrTimeout, LooseTimeout)
	default:
		return max(o.AttrTimeout, 0)
	}
}

// InitFlags are the flags that a connection to this file system has to ask for. Where the kernel checks permissions, its owners
// may be mapped (Linux 6.12). Where the server does they may not: it would have to know the caller of every request, which
// the kernel then tells of few.
func (fs *FS) InitFlags() fuse.InitFlags {
	flags := initFlags
	switch fs.o.Cache {
	case Loose:
		flags |= fuse.WritebackCache
	case CloseToOpen:
		flags |= fuse.DirectIOAllowMmap
	}
	if fs.o.Attach == nil {
		flags |= fuse.AllowIDMap
	}
	return flags
}
