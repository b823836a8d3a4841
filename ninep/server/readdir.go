package server

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// dirPosition is where the descriptor of an open directory stands, which getdents64(2) moves.
type dirPosition struct {
	mu   sync.Mutex
	next uint64 // cookie of the entry that getdents64 would return next

	told   uint64 // bytes of entries that were told since the beginning, where the dialect counts them
	cookie uint64 // of the entry to tell next there
}

// Layout of struct linux_dirent64 (include/linux/dirent.h): d_ino[8] d_off[8] d_reclen[2] d_type[1] d_name[].
const (
	direntOff    = 8
	direntReclen = 16
	direntType   = 18
	direntName   = 19
)

// readdir answers Treaddir with as many whole entries as fit.
func (c *conn) readdir(r *request, m *ninep.Treaddir) error {
	f := r.file(0)
	switch {
	case f == nil || f.xattr != nil || !f.open:
		return unix.EBADF
	case f.typ != unix.S_IFDIR:
		return unix.ENOTDIR
	case m.Offset > math.MaxInt64:
		return unix.EINVAL
	}
	count := int(min(m.Count, c.msize-ninep.ReadHeadSize))
	r.payload = c.server.buffers.get(count)
	raw := c.server.buffers.get(min(max(count, pageSize), direntBatch))
	defer c.server.buffers.put(raw)
	l := listing{server: c.server, dir: f, data: r.payload.bytes[:0:count], next: m.Offset}
	l.put = l.putDirent
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if err := l.fill(raw.bytes); err != nil {
		return err
	}
	r.answerRead(l.data)
	return nil
}

// direntBatch is the most that is read from the host at once, in bytes.
const direntBatch = 64 << 10

// listing is the entries of a directory being put into a reply.
type listing struct {
	server *Server
	dir    *file
	data   []byte // its capacity is the bytes asked
	next   uint64 // cookie of the next entry wanted
	full   bool
	put    func(name string, entry []byte, offset uint64) error // adds one of the host's entries as the dialect has it
}

// fill adds entries from l.next on until the next would not fit or there are no more. It fails with EINVAL if not even
// the first fits. The caller has the directory's position locked.
func (l *listing) fill(raw []byte) error {
	p := &l.dir.dir
	for !l.full {
		if p.next != l.next {
			if _, err := unix.Seek(l.dir.fd, int64(l.next), unix.SEEK_SET); err != nil {
				return err
			}
			p.next = l.next
		}
		n, err := unix.Getdents(l.dir.fd, raw)
		if err != nil {
			p.next = math.MaxUint64
			return err
		}
		if n == 0 {
			return nil
		}
		p.next = lastOffset(raw[:n])
		if err := l.add(raw[:n]); err != nil {
			return err
		}
	}
	return nil
}

// lastOffset returns the cookie behind the last of the host's entries.
func lastOffset(raw []byte) (next uint64) {
	for len(raw) >= direntName {
		next = binary.NativeEndian.Uint64(raw[direntOff:])
		raw = raw[binary.NativeEndian.Uint16(raw[direntReclen:]):]
	}
	return next
}

// add converts the host's entries, leaving out "." and "..", until one does not fit.
func (l *listing) add(raw []byte) error {
	for len(raw) >= direntName {
		length := binary.NativeEndian.Uint16(raw[direntReclen:])
		entry := raw[:length]
		raw = raw[length:]
		name, _, _ := bytes.Cut(entry[direntName:], []byte{0})
		offset := binary.NativeEndian.Uint64(entry[direntOff:])
		if string(name) != "." && string(name) != ".." {
			if err := l.put(string(name), entry, offset); err != nil {
				return err
			}
		}
		if l.full && len(l.data) == 0 {
			return unix.EINVAL
		}
		if l.full {
			return nil
		}
		l.next = offset
	}
	return nil
}

// room reports whether there is room for n bytes more. The listing is full if not.
func (l *listing) room(n int) bool {
	l.full = len(l.data)+n > cap(l.data)
	return !l.full
}

// putDirent adds an entry of Rreaddir.
func (l *listing) putDirent(name string, entry []byte, offset uint64) error {
	if !l.room(ninep.DirentSize(name)) {
		return nil
	}
	typ := entry[direntType]
	ino := binary.NativeEndian.Uint64(entry)
	if typ == unix.DT_UNKNOWN {
		if st, err := statAt(l.dir.fd, name); err == nil {
			typ = uint8(st.Mode >> 12)
		}
	}
	var err error
	l.data, err = ninep.AppendDirent(l.data, ninep.Dirent{
		QID:    ninep.QID{Type: qidType(uint32(typ) << 12), Path: l.server.qidPath(l.dir.id.dev, ino)},
		Offset: offset,
		Type:   typ,
		Name:   name,
	})
	return err
}
