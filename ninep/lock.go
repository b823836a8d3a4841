package ninep

import (
	"context"
	"math"
)

// Lock is a byte-range lock.
type Lock struct {
	Type     LockType
	Start    uint64 // first byte
	Length   uint64 // in bytes; 0: to the end of the file, however far it grows
	ProcID   uint32 // the owner, as the client numbers them: within a session this is whose lock it is
	ClientID string // the client of a lock that GetLock answers; Lock sends the session's own
}

// Lock takes a lock, or gives one back (Type Unlock), on the open file. It does not wait for another owner:
// LockBlocked means to ask again later. Locks belong to the fid that took them and are to be given back through it.
// After a reconnect they are taken again, but those given back, even in vain; a fid whose locks another has taken meanwhile
// fails every call with EIO. A lock whose call was cancelled may have been granted: give it back.
func (f *Fid) Lock(ctx context.Context, l Lock) (LockStatus, error) {
	if l.Type == Unlock {
		f.locked(l)
	}
	var reply lockReply
	err := f.call(ctx, "lock", request{
		message: f.tlock(l, LockBlock), reply: &reply, fids: [2]*Fid{f},
		settle: func(err error) {
			f.session.features.lock.learn(err)
			if err == nil && reply.Status == LockSuccess {
				f.locked(l)
			}
		},
	})
	if err != nil {
		return 0, err
	}
	return reply.Status, nil
}

func (f *Fid) tlock(l Lock, flags uint32) *Tlock {
	return &Tlock{
		Fid: f.number, Kind: l.Type, Flags: flags, Start: l.Start, Length: l.Length,
		ProcID: l.ProcID, ClientID: f.session.clientID,
	}
}

// lockReply is an Rlock with a status that there is.
type lockReply struct{ Rlock }

func (m *lockReply) fields(c *codec) {
	m.Rlock.fields(c)
	if m.Status > LockGrace {
		c.fail("lock status %d", m.Status)
	}
}

// GetLock returns a lock of another owner that is in the way of l, or one of type Unlock if none is.
func (f *Fid) GetLock(ctx context.Context, l Lock) (Lock, error) {
	var reply Rgetlock
	err := f.call(ctx, "getlock", request{
		message: &Tgetlock{
			Fid: f.number, Kind: l.Type, Start: l.Start, Length: l.Length,
			ProcID: l.ProcID, ClientID: f.session.clientID,
		},
		reply: &reply, fids: [2]*Fid{f},
		settle: f.session.features.lock.learn,
	})
	if err != nil {
		return Lock{}, err
	}
	return Lock{
		Type: reply.Kind, Start: reply.Start, Length: reply.Length, ProcID: reply.ProcID, ClientID: reply.ClientID,
	}, nil
}

// locked records a lock that was granted, or given up: it takes the place of what the owner had on those bytes (fcntl(2)).
func (f *Fid) locked(l Lock) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var held []Lock
	for _, h := range f.locks {
		if h.ProcID == l.ProcID {
			held = h.without(held, l)
		} else {
			held = append(held, h)
		}
	}
	if l.Type != Unlock {
		held = append(held, l)
	}
	f.locks = held
}

// end is the byte after the lock's last.
func (l Lock) end() uint64 {
	if l.Length == 0 || l.Start+l.Length < l.Start {
		return math.MaxUint64
	}
	return l.Start + l.Length
}

// without appends to dst what is left of l when the bytes of o are taken away.
func (l Lock) without(dst []Lock, o Lock) []Lock {
	if before := l; o.Start > l.Start {
		before.Length = min(o.Start, l.end()) - l.Start
		dst = append(dst, before)
	}
	if after := l; o.end() < l.end() {
		after.Start = max(l.Start, o.end())
		if l.Length != 0 {
			after.Length = l.end() - after.Start
		}
		dst = append(dst, after)
	}
	return dst
}
