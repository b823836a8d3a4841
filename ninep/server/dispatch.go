package server

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// serve does what a request asks for and makes its reply.
func (c *conn) serve(r *request) error {
	switch m := r.msg.(type) {
	case nil:
		if r.kind == ninep.TypeTread {
			return c.read(r)
		}
		return c.write(r)
	case *ninep.Treaddir:
		return c.readdir(r, m)
	}
	reply, err := c.dispatch(r)
	if err != nil {
		return err
	}
	r.answer(reply, c.msize)
	return nil
}

func (c *conn) dispatch(r *request) (ninep.Message, error) {
	switch m := r.msg.(type) {
	case *ninep.Tflush:
		return &ninep.Rflush{}, nil
	case *ninep.Tattach:
		return c.attach(r, m)
	case *ninep.Twalk:
		return c.walk(r, m)
	case *ninep.Tlopen:
		return c.lopen(r, m)
	case *ninep.Tlcreate:
		return c.lcreate(r, m)
	case *ninep.Tclunk:
		return c.clunk(r)
	case *ninep.Tgetattr:
		return c.getattr(r)
	case *ninep.Tsetattr:
		return c.setattr(r, m)
	case *ninep.Tstatfs:
		return c.statfs(r)
	case *ninep.Tfsync:
		return c.fsync(r, m)
	case *ninep.Treadlink:
		return c.readlink(r)
	case *ninep.Txattrwalk:
		return c.xattrwalk(r, m)
	case *ninep.Txattrcreate:
		return c.xattrcreate(r, m)
	case *ninep.Tlock:
		return c.lock(r, m)
	case *ninep.Tgetlock:
		return c.getlock(r, m)
	}
	return c.dispatchNames(r)
}

// dispatchNames serves the requests that change directories.
func (c *conn) dispatchNames(r *request) (ninep.Message, error) {
	switch m := r.msg.(type) {
	case *ninep.Tmkdir:
		return c.mkdir(r, m)
	case *ninep.Tsymlink:
		return c.symlink(r, m)
	case *ninep.Tmknod:
		return c.mknod(r, m)
	case *ninep.Tlink:
		return c.link(r, m)
	case *ninep.Trename:
		return c.rename(r, m)
	case *ninep.Trenameat:
		return c.renameat(r, m)
	case *ninep.Tunlinkat:
		return c.unlinkat(r, m)
	case *ninep.Tremove:
		return c.remove(r)
	case *ninep.Tauth:
		// There is nothing to authenticate with. diod answers this, and its clients then attach without.
		return nil, unix.ENOENT
	}
	return c.dispatchClassic(r)
}
