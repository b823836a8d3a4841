package ninefs

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

func (fs *FS) mkdir(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.MkdirIn](r)
	return fs.make(ctx, r, 0, func(dir *ninep.Fid, name string) (ninep.QID, error) {
		return dir.Mkdir(ctx, name, in.Mode&0o7777, r.GID())
	})
}

func (fs *FS) symlink(ctx context.Context, r *fuse.Request) error {
	target := string(r.Name2())
	return fs.make(ctx, r, 0, func(dir *ninep.Fid, name string) (ninep.QID, error) {
		return dir.Symlink(ctx, name, target, r.GID())
	})
}

func (fs *FS) mknod(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.MknodIn](r)
	special := fs.specialBits(in.Mode)
	mode := in.Mode &^ special
	if mode&unix.S_IFMT == unix.S_IFREG {
		return fs.make(ctx, r, special, func(dir *ninep.Fid, name string) (ninep.QID, error) {
			made, err := fs.createFile(ctx, dir, name, unix.O_WRONLY, mode, r.GID())
			if err == nil {
				made.Open.Drop()
			}
			if made.Path != nil {
				made.Path.Drop()
			}
			return made.Attr.QID, err
		})
	}
	major, minor := splitDev(in.Rdev)
	return fs.make(ctx, r, special, func(dir *ninep.Fid, name string) (ninep.QID, error) {
		return dir.Mknod(ctx, name, mode, major, minor, r.GID())
	})
}

// make has op make a file that did not exist, without its special bits, gives it to the caller and answers with it.
func (fs *FS) make(
	ctx context.Context, r *fuse.Request, special uint32, op func(dir *ninep.Fid, name string) (ninep.QID, error),
) error {
	dir, name, err := fs.birthplace(r)
	if err != nil {
		return err
	}
	uid := fs.caller(r)
	var made ninep.QID
	err = fs.onDir(ctx, dir, uid, func(d *ninep.Fid) (err error) {
		made, err = op(d, name)
		return err
	})
	if err != nil {
		return err
	}
	fid, attr, err := fs.walkAttr(ctx, dir, name, uid)
	if err != nil {
		return err
	}
	if attr.QID.Path != made.Path { // another client has put something else there, which is not the caller's to own
		fid.Drop()
		return unix.ESTALE
	}
	if err := fs.give(ctx, fid, &attr, dir, r, special); err != nil {
		fid.Drop()
		return err
	}
	n, err := fs.tree.create(attr, dir, name)
	if err != nil {
		fid.Drop()
		return err
	}
	fs.fids.put(fs.fids.add(n, uid, fid))
	var out fuse.EntryOut
	fs.fillEntry(&out, n, attr, n.now())
	r.ReplyEntry(&out)
	return nil
}

// createFile makes and opens a file that did not exist. O_EXCL is always asked for: a file that another client made since the
// kernel looked is not this caller's to own, nor has the kernel checked that it may be opened.
func (fs *FS) createFile(ctx context.Context, dir *ninep.Fid, name string, flags, mode, gid uint32) (made ninep.NewFile, err error) {
	_, err = fs.bind(func() (*ninep.Fid, error) {
		made, err = dir.CreateNew(ctx, name, fs.openFlags(flags), mode&0o7777, gid)
		return made.Open, err
	})
	return made, err
}

func (fs *FS) create(ctx context.Context, r *fuse.Request) error {
	dir, name, err := fs.birthplace(r)
	if err != nil {
		return err
	}
	in := fuse.In[fuse.CreateIn](r)
	uid := fs.caller(r)
	special := fs.specialBits(in.Mode)
	var made ninep.NewFile
	err = fs.onDir(ctx, dir, uid, func(d *ninep.Fid) (err error) {
		made, err = fs.createFile(ctx, d, name, in.Flags, in.Mode&^special, r.GID())
		return err
	})
	if errors.Is(err, unix.EEXIST) && in.Flags&unix.O_EXCL == 0 {
		// The kernel then looks again and finds the file (do_filp_open of fs/namei.c, LOOKUP_REVAL).
		return unix.ESTALE
	}
	if err != nil {
		return err
	}
	err = fs.give(ctx, made.Open, &made.Attr, dir, r, special)
	if err == nil {
		err = fs.replyCreate(r, dir, name, made)
	}
	if err != nil {
		made.Open.Drop()
		if made.Path != nil {
			made.Path.Drop()
		}
	}
	return err
}

// replyCreate answers CREATE with a new file and the handle that it is open with.
func (fs *FS) replyCreate(r *fuse.Request, dir *node, name string, made ninep.NewFile) error {
	n, err := fs.tree.create(made.Attr, dir, name)
	if err != nil {
		return err
	}
	flags, uid := fuse.In[fuse.CreateIn](r).Flags, fs.caller(r)
	h := &handle{node: n, fid: made.Open, flags: flags, uid: uid, mode: fs.openMode(n, flags, false)}
	if err := fs.handles.add(h); err != nil {
		fs.tree.forget(n.id, 1)
		return err
	}
	if made.Path != nil {
		fs.fids.put(fs.fids.add(n, uid, made.Path))
	}
	epoch := n.now()
	if fs.o.Cache != Loose {
		n.trust(made.Attr, epoch, fs.young(made.Attr))
	}
	var entry fuse.EntryOut
	fs.fillEntry(&entry, n, made.Attr, epoch)
	if fs.ttl == 0 {
		fs.echo.told(r, &entry)
	}
	r.ReplyCreate(&entry, &fuse.OpenOut{Fh: h.id, OpenFlags: h.mode})
	return nil
}
