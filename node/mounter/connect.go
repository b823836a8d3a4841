package mounter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/transport"
)

// connect makes the volume's file system and runs the connection of dev on it.
func (v *Volume) connect(ctx context.Context, dev *os.File) (*ninefs.FS, *fuse.Conn, error) {
	options, err := v.options(ctx)
	if err != nil {
		return nil, nil, err
	}
	fs, err := ninefs.New(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	conn, err := fuse.Serve(ctx, dev, fuse.Config{
		Handler: fs, Buffers: buffers{v.session.arena}, MaxWrite: slotSize, Flags: fs.InitFlags(), IOURing: v.ioURing,
	})
	if err != nil {
		return nil, nil, errors.Join(err, fs.Close())
	}
	fs.SetNotifier(conn)
	return fs, conn, nil
}

// cacheModes are ninefs' names of cache modes.
var cacheModes = map[params.Cache]ninefs.CacheMode{
	params.CacheNone:        ninefs.CacheNone,
	params.CacheCloseToOpen: ninefs.CloseToOpen,
	params.CacheLoose:       ninefs.Loose,
}

// options are the volume's parameters in ninefs' terms, where zero stands for a
// default. They hold a fid of their own.
func (v *Volume) options(ctx context.Context) (ninefs.Options, error) {
	p := v.spec.Context.Parameters
	o := ninefs.Options{
		Arena: v.session.arena, Locks: v.session.locks, Fids: v.session.fids,
		AttrTimeout: p.AttrTimeout, WritebackTimeout: p.WritebackTimeout,
		Unreachable: v.session.unreachable, Threaded: v.ioURing != fuse.IOURingOff,
	}
	if o.AttrTimeout == 0 {
		o.AttrTimeout = -1
	}
	if o.WritebackTimeout == 0 {
		o.WritebackTimeout = math.MaxInt64 / 2
	}
	mode, known := cacheModes[v.spec.Cache()]
	if !known {
		return o, fmt.Errorf("%w: there is no cache mode %q", ErrSpec, p.Cache)
	}
	o.Cache = mode
	if p.Access == params.AccessUser {
		o.Attach = v.directoryAs
	}
	if p.Capacity == params.CapacityReport {
		o.Usage = v.usage
	}
	root, err := v.root.Walk(ctx)
	o.Root = root
	return o, err
}

// usage is what df shows of the volume: the size of its claim and the last
// count of its use.
func (v *Volume) usage(ctx context.Context) ninefs.Usage {
	u := ninefs.Usage{Capacity: uint64(v.capacity.Load())}
	if now := v.served.Load(); now != nil && now.scanner != nil {
		count, known := now.scanner.Last(ctx)
		u.Used, u.Files, u.UsedKnown = uint64(count.Bytes), uint64(count.Inodes), known
	}
	return u
}

// buffers lends an arena's slots to FUSE.
type buffers struct{ arena *transport.Arena }

func (b buffers) Get(ctx context.Context, n int) (fuse.Buffer, error) {
	slot, err := b.arena.Get(ctx, n)
	if err != nil {
		return nil, err
	}
	return slot, nil
}

func (b buffers) TryGet(n int) fuse.Buffer {
	if slot := b.arena.TryGet(n); slot != nil {
		return slot
	}
	return nil
}
