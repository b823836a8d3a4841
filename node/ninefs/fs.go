package ninefs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/turns"
)

// Notifier tells the kernel to forget, and what was agreed on with it; [fuse.Conn] is one.
type Notifier interface {
	Init() fuse.InitRecord
	NotifyInvalInode(nodeID uint64, off, n int64) error
}

// FS is the file system of one mount. It is a [fuse.Handler].
type FS struct {
	o          Options
	ttl        time.Duration // of names and attributes
	ctx        context.Context
	stop       context.CancelFunc
	pool       *pool
	strands    strands
	appenders  *pool
	lookers    *pool
	readers    *pool // of one: READs that wait for a slot do it in their order
	tree       *tree
	handles    *handles
	fids       *FidCache
	clock      serverClock
	reach      reach
	echo       echo
	taste      taste
	prefetches prefetches
	locks      *LockTable
	turns      turns.Turns[turnKey]
	direct     func(*ninep.IO) // fs.directDone, bound once

	figures    atomic.Pointer[ninep.Statfs] // the server's last
	notifier   atomic.Pointer[Notifier]
	mapsDirect atomic.Bool // what is open for direct I/O can be mapped
	noXattr    atomic.Bool // the server knows no extended attributes
	localLocks atomic.Bool // the server knows no locks, or is not to be asked
}

// New makes the file system of a volume. Its root's attributes are read first; ctx bounds that. When it fails the fid in
// Options.Root is dropped.
func New(ctx context.Context, o Options) (*FS, error) {
	o = o.withDefaults()
	fs := &FS{o: o, ttl: o.ttl(), locks: o.Locks, fids: o.Fids}
	fs.direct = fs.directDone
	fs.localLocks.Store(o.LocalLocks)
	fs.reach.lost = o.Unreachable
	attr, err := o.Root.Getattr(ctx, ninep.AttrBasic)
	if err == nil && attr.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = fmt.Errorf("%s is not a directory: %w", o.Root.Path(), unix.ENOTDIR)
	}
	if err == nil {
		fs.tree, err = newTree(attr, fs.fids.end)
	}
	if err == nil {
		fs.handles, err = newHandles(fs.tree)
	}
	if err != nil {
		o.Root.Drop()
		return nil, errors.Join(err, fs.closeTables())
	}
	if figures, err := o.Root.Statfs(ctx); err == nil { // else the server has none
		fs.figures.Store(&figures)
	}
	fs.fids.put(fs.fids.add(fs.tree.root, 0, o.Root))
	fs.fids.keep(fs.tree.root)
	fs.ctx, fs.stop = context.WithCancel(context.WithoutCancel(ctx))
	fs.pool = newPool(fs.run, maxWorkers, warmWorkers)
	fs.appenders = newPool(fs.run, maxAppenders, 0)
	fs.lookers = newPool(fs.run, maxLookers, warmWorkers)
	fs.readers = newPool(fs.readLater, 1, 0)
	fs.strands.do = fs.runStrand
	return fs, nil
}

// SetNotifier gives the way to the kernel, once it is known. Until then nothing is kept in its cache over an open.
func (fs *FS) SetNotifier(n Notifier) {
	agreed := n.Init()
	fs.mapsDirect.Store(agreed.Flags()&fuse.DirectIOAllowMmap != 0)
	fs.notifier.Store(&n)
}

// Close ends the file system: what still waits for the server fails, and every fid is given back. The connection that hands
// it requests must have been closed before ([fuse.Conn.Close]).
func (fs *FS) Close() error {
	fs.stop()
	fs.appenders.close()
	fs.lookers.close()
	fs.readers.close()
	fs.pool.close()
	fs.strands.close()
	fs.reach.close()
	var fids []*ninep.Fid
	for _, h := range fs.handles.all() {
		fs.locks.leave(fs, h.node.lockKey)
		fs.endPrefetch(h)
		fs.handles.remove(h)
		fids = append(fids, h.fid)
	}
	fs.tree.each(func(n *node) { fids = append(fids, fs.fids.take(n)...) })
	clunkAll(fids)
	return fs.closeTables()
}

const (
	// clunkTimeout bounds how long Close waits for the server.
	clunkTimeout = 2 * time.Second
	// clunksAtOnce is how many fids Close gives back at the same time.
	clunksAtOnce = 64
)

// clunkAll gives fids back and waits for the answers: the connection may be closed next, and diod is killed by SIGPIPE when it
// has an answer left for a client that is gone.
func clunkAll(fids []*ninep.Fid) {
	ctx, cancel := context.WithTimeout(context.Background(), clunkTimeout)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(clunksAtOnce)
	for _, f := range fids {
		group.Go(func() error {
			_ = f.Clunk(ctx) // whatever the answer, the fid is gone
			return nil
		})
	}
	_ = group.Wait() // none returns an error
}

func (fs *FS) closeTables() error {
	var errs []error
	if fs.handles != nil {
		errs = append(errs, fs.handles.close())
	}
	if fs.tree != nil {
		errs = append(errs, fs.tree.close())
	}
	return errors.Join(errs...)
}

// operations are what a worker does for each opcode. An operation answers its request, or returns the error to answer with.
var operations = map[fuse.Opcode]func(*FS, context.Context, *fuse.Request) error{
	fuse.OpLookup:      (*FS).lookup,
	fuse.OpGetattr:     (*FS).getattr,
	fuse.OpSetattr:     (*FS).setattr,
	fuse.OpReadlink:    (*FS).readlink,
	fuse.OpSymlink:     (*FS).symlink,
	fuse.OpMknod:       (*FS).mknod,
	fuse.OpMkdir:       (*FS).mkdir,
	fuse.OpUnlink:      (*FS).unlink,
	fuse.OpRmdir:       (*FS).rmdir,
	fuse.OpRename:      (*FS).rename,
	fuse.OpRename2:     (*FS).rename2,
	fuse.OpLink:        (*FS).link,
	fuse.OpOpen:        (*FS).open,
	fuse.OpCreate:      (*FS).create,
	fuse.OpWrite:       (*FS).writeLater,
	fuse.OpStatfs:      (*FS).statfs,
	fuse.OpRelease:     (*FS).release,
	fuse.OpFsync:       (*FS).fsync,
	fuse.OpFlush:       (*FS).flush,
	fuse.OpOpendir:     (*FS).opendir,
	fuse.OpReaddir:     (*FS).readdir,
	fuse.OpReaddirplus: (*FS).readdirplus,
	fuse.OpReleasedir:  (*FS).release,
	fuse.OpFsyncdir:    (*FS).fsync,
	fuse.OpGetlk:       (*FS).getlk,
	fuse.OpSetlk:       (*FS).setlk,
	fuse.OpSetlkw:      (*FS).setlk,
	fuse.OpSetxattr:    (*FS).setxattr,
	fuse.OpGetxattr:    (*FS).getxattr,
	fuse.OpListxattr:   (*FS).listxattr,
	fuse.OpRemovexattr: (*FS).removexattr,
}

// refusals are the opcodes that 9P has no message for. To ENOSYS the kernel stops asking and does without.
var refusals = map[fuse.Opcode]unix.Errno{
	fuse.OpFallocate: unix.EOPNOTSUPP, // glibc's posix_fallocate then writes instead
	fuse.OpTmpfile:   unix.EOPNOTSUPP,
	fuse.OpIoctl:     unix.ENOTTY,
}

// Handle implements [fuse.Handler].
func (fs *FS) Handle(r *fuse.Request) {
	switch op := r.Opcode(); op {
	case fuse.OpRead:
		fs.read(r)
	case fuse.OpWrite:
		fs.write(r)
	case fuse.OpForget, fuse.OpBatchForget:
		for f := range r.Forgets() {
			fs.tree.forget(f.NodeID, f.Nlookup)
		}
		r.NoReply()
	case fuse.OpSyncfs:
		r.ReplyOK() // whatever was written is on the server
	case fuse.OpFlush:
		if fs.nothingToFlush(r) {
			r.ReplyOK()
			return
		}
		fs.pool.submit(r)
	case fuse.OpGetattr:
		if fuse.In[fuse.GetattrIn](r).Flags&fuse.GetattrFh != 0 {
			fs.pool.submit(r)
			return
		}
		if !fs.echo.answer(r) && !fs.glanceAttr(r) {
			fs.lookers.submit(r)
		}
	case fuse.OpLookup:
		if !fs.glanceName(r) {
			fs.perform(r)
		}
	case fuse.OpStatfs:
		fs.lookers.submit(r)
	case fuse.OpGetxattr:
		if errno, known := fs.knownXattr(r); known {
			r.ReplyError(errno)
			return
		}
		fs.pool.submit(r)
	default:
		if _, ok := operations[op]; ok {
			fs.perform(r)
		} else if errno, ok := refusals[op]; ok {
			r.ReplyError(errno)
		} else {
			r.ReplyError(unix.ENOSYS)
		}
	}
}

// patient are the operations that keep goroutines waiting in other ways than for a reply, or have several at work.
var patient = map[fuse.Opcode]bool{
	fuse.OpWrite: true, fuse.OpStatfs: true, fuse.OpFsync: true, fuse.OpFsyncdir: true, fuse.OpFlush: true,
	fuse.OpGetlk: true, fuse.OpSetlk: true, fuse.OpSetlkw: true,
	fuse.OpSetxattr: true, fuse.OpGetxattr: true, fuse.OpListxattr: true, fuse.OpRemovexattr: true,
}

// perform has a request carried out.
func (fs *FS) perform(r *fuse.Request) {
	if fs.o.Threaded || patient[r.Opcode()] || !fs.strands.start(r) {
		fs.pool.submit(r)
	}
}

// run carries out one request on a worker.
func (fs *FS) run(r *fuse.Request) {
	ctx, done := fs.patience(r)
	defer done()
	fs.operate(ctx, r)
}

// runStrand carries out a strand's request.
func (fs *FS) runStrand(s *strand) {
	ctx, done := fs.patience(s.r)
	defer done()
	fs.operate(ninep.WithStrand(ctx, s), s.r)
}

func (fs *FS) operate(ctx context.Context, r *fuse.Request) {
	if err := operations[r.Opcode()](fs, ctx, r); err != nil {
		r.ReplyError(errnoOf(err))
	}
}

// node returns the node that a request is about. A node id that is not known is a file that is gone.
func (fs *FS) node(r *fuse.Request) (*node, error) { return fs.nodeOf(r.NodeID()) }

func (fs *FS) nodeOf(id uint64) (*node, error) {
	if n := fs.tree.get(id); n != nil {
		return n, nil
	}
	return nil, unix.ESTALE
}

// target returns the directory that a request is about, and the name in it.
func (fs *FS) target(r *fuse.Request) (dir *node, name string, err error) {
	if dir, err = fs.node(r); err == nil {
		name, err = nameOf(r.Name())
	}
	return dir, name, err
}

// birthplace is target for a request that makes a file. A maker without an id has no place among the owners of this file
// system (the kernel's own answer is EOVERFLOW).
func (fs *FS) birthplace(r *fuse.Request) (dir *node, name string, err error) {
	if r.UID() == fuse.NoID || r.GID() == fuse.NoID {
		return nil, "", unix.EOVERFLOW
	}
	return fs.target(r)
}

func (fs *FS) handleOf(id uint64) (*handle, error) {
	if h := fs.handles.get(id); h != nil {
		return h, nil
	}
	return nil, unix.EBADF
}

// nameOf checks a name from the kernel, which lets 1024 bytes through.
func nameOf(name []byte) (string, error) {
	if len(name) > ninep.MaxName {
		return "", unix.ENAMETOOLONG
	}
	return string(name), nil
}

// caller is the user whose fids a request works through.
func (fs *FS) caller(r *fuse.Request) uint32 {
	if fs.o.Attach == nil {
		return 0
	}
	return r.UID()
}
