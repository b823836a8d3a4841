package ninefs

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

const (
	// capability is asked for by the kernel before every write(2), to take it away (file_remove_privs of fs/inode.c).
	capability = "security.capability"
	// aclPrefix begins the names of POSIX ACLs. The kernel that checks permissions here would not go by them, and to store
	// what nobody goes by would be to lie.
	aclPrefix = "system.posix_acl_"
)

// absence remembers that a file has no capabilities.
type absence struct {
	mu    sync.Mutex
	until time.Time
}

func (a *absence) set(ttl time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = time.Now().Add(ttl)
}

func (a *absence) known() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.until)
}

// knownXattr answers a GETXATTR without the server where that is possible.
func (fs *FS) knownXattr(r *fuse.Request) (errno unix.Errno, known bool) {
	name := r.Name()
	switch {
	case fs.noXattr.Load(), strings.HasPrefix(string(name), aclPrefix):
		return unix.EOPNOTSUPP, true
	case string(name) != capability:
		return 0, false
	}
	n := fs.tree.get(r.NodeID())
	return unix.ENODATA, n != nil && n.caps.known()
}

// onXattrs runs an operation on a node's extended attributes.
func (fs *FS) onXattrs(ctx context.Context, r *fuse.Request, op func(*node, *ninep.Fid) error) error {
	if fs.noXattr.Load() || strings.HasPrefix(string(r.Name()), aclPrefix) {
		return unix.EOPNOTSUPP
	}
	n, err := fs.node(r)
	if err != nil {
		return err
	}
	err = fs.onNode(ctx, n, fs.caller(r), func(f *ninep.Fid) error { return op(n, f) })
	if ninep.IsErrno(err, unix.ENOSYS) {
		fs.noXattr.Store(true)
	}
	return err
}

func (fs *FS) getxattr(ctx context.Context, r *fuse.Request) error {
	name := string(r.Name())
	return fs.onXattrs(ctx, r, func(n *node, f *ninep.Fid) error {
		value, err := abandonable(ctx, func() ([]byte, error) { return f.GetXattr(ctx, name) })
		if name == capability && ninep.IsErrno(err, unix.ENODATA, unix.EOPNOTSUPP) {
			n.caps.set(fs.ttl)
			err = unix.ENODATA
		}
		if err != nil {
			return err
		}
		return replyXattr(r, value)
	})
}

func (fs *FS) listxattr(ctx context.Context, r *fuse.Request) error {
	return fs.onXattrs(ctx, r, func(_ *node, f *ninep.Fid) error {
		names, err := abandonable(ctx, func() ([]string, error) { return f.ListXattr(ctx) })
		if err != nil {
			return err
		}
		var list []byte
		for _, name := range names {
			if !strings.HasPrefix(name, aclPrefix) {
				list = append(append(list, name...), 0)
			}
		}
		return replyXattr(r, list)
	})
}

// replyXattr answers with a value, or with its size if that was asked for (getxattr(2)).
func replyXattr(r *fuse.Request, value []byte) error {
	size := fuse.In[fuse.GetxattrIn](r).Size
	switch {
	case size == 0:
		r.ReplyXattrSize(uint32(len(value)))
	case len(value) > int(size):
		return unix.ERANGE
	default:
		r.ReplyData(value)
	}
	return nil
}

func (fs *FS) setxattr(ctx context.Context, r *fuse.Request) error {
	flags, name, value := fuse.In[fuse.SetxattrIn](r).Flags, string(r.Name()), bytes.Clone(r.Payload())
	return fs.changeXattr(ctx, r, func(f *ninep.Fid) error {
		if len(value) == 0 && flags == ninep.XattrReplace {
			// A server would take that for a removal. Set what is there instead.
			if _, err := f.GetXattr(ctx, name); err != nil {
				return err
			}
			flags = 0
		}
		return f.SetXattr(ctx, name, value, flags)
	})
}

func (fs *FS) removexattr(ctx context.Context, r *fuse.Request) error {
	name := string(r.Name())
	return fs.changeXattr(ctx, r, func(f *ninep.Fid) error { return f.RemoveXattr(ctx, name) })
}

func (fs *FS) changeXattr(ctx context.Context, r *fuse.Request, change func(*ninep.Fid) error) error {
	return fs.onXattrs(ctx, r, func(n *node, f *ninep.Fid) error {
		n.caps.set(0)
		_, err := abandonable(ctx, func() (struct{}, error) { return struct{}{}, change(f) })
		if err == nil {
			r.ReplyOK()
		}
		return err
	})
}
