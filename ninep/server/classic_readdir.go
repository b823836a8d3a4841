package server

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// readEntries answers Tread of a directory with as many whole descriptions as fit. The offset is 0, to begin anew, or
// where the last such Tread ended (read(5)).
func (c *conn) readEntries(r *request, f *file) error {
	count := int(min(r.io.count, c.msize-ninep.ReadHeadSize))
	r.payload = c.server.buffers.get(count)
	raw := c.server.buffers.get(min(max(count, pageSize), direntBatch))
	defer c.server.buffers.put(raw)
	p := &f.dir
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.io.offset == 0 {
		p.told, p.cookie = 0, 0
	}
	if r.io.offset != p.told {
		return unix.EINVAL
	}
	l := listing{server: c.server, dir: f, data: r.payload.bytes[:0:count], next: p.cookie}
	l.put = func(name string, _ []byte, _ uint64) error { return c.putStat(&l, name) }
	// To be told about the entries takes the permission to search the directory.
	if err := f.attach.user.do(func() error { return l.fill(raw.bytes) }); err != nil {
		return err
	}
	p.told, p.cookie = p.told+uint64(len(l.data)), l.next
	r.answerRead(l.data)
	return nil
}

// putStat adds the description of an entry. One that is gone meanwhile, or was a link and is no more, is left out.
func (c *conn) putStat(l *listing, name string) error {
	st, err := statAt(l.dir.fd, name)
	var d ninep.Stat
	if err == nil {
		d = c.newStat(st, name)
		err = c.form.describe(&d, st, l.dir.fd, name)
	}
	if ninep.IsErrno(err, unix.ENOENT, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return err
	}
	var room [512]byte
	entry, err := c.dialect.AppendStat(room[:0], d)
	if err == nil && l.room(len(entry)) {
		l.data = append(l.data, entry...)
	}
	return err
}
