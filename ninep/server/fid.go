package server

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/gate"
)

// fid is one number that a client uses for a file. Its file may be used inside the gate only.
type fid struct {
	num  ninep.FID
	gate gate.Gate
	file *file // nil while it is not bound, and after it was given back
	gone bool  // it was released
}

// file is what a fid stands for: a file of the tree by its descriptor, or an extended attribute of one.
type file struct {
	conn     *conn
	attach   *attachment
	fd       int    // O_PATH, or open for I/O; -1 for an attribute that is read
	typ      uint32 // S_IF* of its mode
	id       fileID
	open     bool
	writable bool        // open for writing
	direct   atomic.Bool // open with O_DIRECT
	synced   bool        // open with O_SYNC or O_DSYNC
	appends  bool        // open with O_APPEND
	dir      dirPosition
	xattr    *xattr // nil for a file of the tree
	locked   atomic.Bool

	removeOnClose bool // ORCLOSE of open(5)
}

// fileID is a file for the host, among all files that exist at one time.
type fileID struct{ dev, ino uint64 }

// attachment is what the fids of one Tattach share.
type attachment struct {
	refs atomic.Int64
	root int // O_PATH descriptor of the attach's root
	id   fileID
	user *identity
	fds  *quota // its root counts there
}

func (a *attachment) share() *attachment {
	a.refs.Add(1)
	return a
}

func (a *attachment) release() {
	if a.refs.Add(-1) == 0 {
		unix.Close(a.root)
		a.fds.give(1)
	}
}

// newFile makes a file of a descriptor, which becomes its own.
func (c *conn) newFile(a *attachment, fd int, st *unix.Statx_t) *file {
	return &file{conn: c, attach: a.share(), fd: fd, typ: uint32(st.Mode) & unix.S_IFMT, id: idOf(st)}
}

// close gives back all that the file holds.
func (f *file) close() {
	if f.removeOnClose {
		// The client went without giving the fid back, and hears of no error.
		_ = f.unlink()
	}
	if f.locked.Load() {
		f.conn.server.locks.drop(f)
	}
	if f.xattr != nil {
		f.conn.xattrs.give(f.xattr.charge)
	}
	if f.fd >= 0 {
		unix.Close(f.fd)
	}
	f.attach.release()
}

// swapFD replaces the descriptor of a file whose fid the caller has alone.
func (f *file) swapFD(fd int) {
	unix.Close(f.fd)
	f.fd = fd
}

// fidTable has the fids of a connection.
type fidTable struct {
	mu    sync.Mutex
	fids  map[ninep.FID]*fid
	limit int
	total *quota // descriptors of the whole server
}

func (t *fidTable) get(num ninep.FID) *fid {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fids[num]
}

// reserve makes a fid that a request is about to bind.
func (t *fidTable) reserve(num ninep.FID) (*fid, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case num == ninep.NoFID:
		return nil, unix.EBADF
	case t.fids[num] != nil:
		return nil, unix.EEXIST
	case len(t.fids) >= t.limit:
		return nil, unix.EMFILE
	case !t.total.take(1):
		return nil, unix.ENFILE
	}
	f := &fid{num: num}
	t.fids[num] = f
	return f, nil
}

// remove frees the fid's number. The fid's quota is given back with its file, not before, by release.
func (t *fidTable) remove(f *fid) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fids[f.num] == f {
		delete(t.fids, f.num)
	}
}

// release closes the fid's file, if it has one, and gives its quota back. The fid must have been removed, and the
// caller be alone with it. A second release does nothing: a Tclunk may stand behind the Twalk that failed to bind.
func (t *fidTable) release(f *fid) {
	if f.gone {
		return
	}
	f.gone = true
	if f.file != nil {
		f.file.close()
		f.file = nil
	}
	t.total.give(1)
}

// clear releases all fids. No request may be using one.
func (t *fidTable) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for num, f := range t.fids {
		delete(t.fids, num)
		t.release(f)
	}
}
