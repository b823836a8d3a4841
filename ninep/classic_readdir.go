package ninep

import (
	"context"

	"golang.org/x/sys/unix"
)

// dirPosition is where an open directory has been read to. A Tread of it begins at its start, or where the last one ended
// (read(5)); QEMU goes on there whatever the offset.
type dirPosition struct {
	turn chan struct{} // whoever has put an element into it reads
	end  uint64        // in bytes of entries

	// What the last Tread brought, from at on, where its caller had no room for all of it. The rest is told from here, because
	// bytes count differently once a file is made or removed.
	data []byte
	at   uint64
}

// readdirClassic reads entries from a cookie on, which is the number of bytes before the next entry. A cookie elsewhere than at the
// end of the last read has the directory read from its start, up to there.
func (l *link) readdirClassic(ctx context.Context, r request, cookie uint64) (int, error) {
	p := r.fids[0].dirPosition()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if p.data != nil && cookie != 0 && p.at <= cookie && cookie < p.end {
		return l.dialect.direntsOf(r.in, p.data, p.at, cookie)
	}
	out := r.in
	if len(r.in) < statRoom { // an entry that has no room would pass for the end
		r.in = make([]byte, min(statRoom, r.fids[0].MaxPayload()))
	}
	if cookie != p.end {
		p.end = 0
	}
	p.data = nil
	for {
		at := p.end
		p.end = 0 // unless the server answers: it may be anywhere
		r.message = &Tread{Fid: r.fids[0].number, Offset: at, Count: uint32(len(r.in))}
		n, err := l.exchange(ctx, r)
		if err != nil {
			return 0, err
		}
		p.end = at + uint64(n)
		if n == 0 || cookie < p.end {
			if len(out) < len(r.in) {
				p.data, p.at = r.in[:n], at
			}
			return l.dialect.direntsOf(out, r.in[:n], at, cookie)
		}
	}
}

// dirPosition returns the position of the open directory.
func (f *Fid) dirPosition() *dirPosition {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.position == nil {
		f.position = &dirPosition{turn: make(chan struct{}, 1)}
	}
	return f.position
}

// direntsOf writes entries of 9P2000.L to out for those that data has from the cookie on, as many as have room, and returns their
// length. at is where in the directory data begins. The two may be the same memory: a Dirent is shorter than its Stat.
func (d Dialect) direntsOf(out, data []byte, at, cookie uint64) (int, error) {
	n := 0
	for len(data) > 0 {
		s, rest, err := d.NextStat(data)
		if err != nil {
			return 0, err
		}
		at += uint64(len(data) - len(rest))
		data = rest
		if at <= cookie {
			continue
		}
		if n+DirentSize(s.Name) > len(out) {
			if n == 0 {
				return 0, unix.EINVAL
			}
			break
		}
		entry := Dirent{QID: s.QID, Offset: at, Type: uint8(d.unixMode(&s) >> 12), Name: s.Name}
		whole, err := AppendDirent(out[:n], entry)
		if err != nil {
			return 0, err
		}
		n = len(whole)
	}
	return n, nil
}
