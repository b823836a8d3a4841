package server

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// lock takes or gives back a byte-range lock. It never waits: who wants to asks again (as every 9P server has it).
func (c *conn) lock(r *request, m *ninep.Tlock) (ninep.Message, error) {
	if m.Flags&^(ninep.LockBlock|ninep.LockReclaim) != 0 {
		return nil, unix.EINVAL
	}
	want, err := c.wantedLock(r, m.Kind, m.Start, m.Length, lockOwner{c.peer, m.ClientID, m.ProcID})
	if err != nil {
		return nil, err
	}
	if m.Kind == ninep.Unlock {
		c.server.locks.unset(want)
		return &ninep.Rlock{Status: ninep.LockSuccess}, nil
	}
	return &ninep.Rlock{Status: c.server.locks.set(want)}, nil
}

// getlock tells of a lock in the way, or that there is none.
func (c *conn) getlock(r *request, m *ninep.Tgetlock) (ninep.Message, error) {
	want, err := c.wantedLock(r, m.Kind, m.Start, m.Length, lockOwner{c.peer, m.ClientID, m.ProcID})
	if err != nil {
		return nil, err
	}
	reply := &ninep.Rgetlock{Kind: ninep.Unlock, Start: m.Start, Length: m.Length, ProcID: m.ProcID, ClientID: m.ClientID}
	found, ok := c.server.locks.find(want)
	if m.Kind == ninep.Unlock || !ok {
		return reply, nil
	}
	reply.Kind = ninep.ReadLock
	if found.write {
		reply.Kind = ninep.WriteLock
	}
	reply.Start, reply.Length = found.first, found.length()
	reply.ProcID, reply.ClientID = found.owner.proc, found.owner.client
	return reply, nil
}

// wantedLock checks what Tlock and Tgetlock have in common. The fid need not be open for writing to lock for writing:
// clients lock for flock(2) too, which does not ask for it.
func (c *conn) wantedLock(r *request, kind ninep.LockType, start, length uint64, owner lockOwner) (heldLock, error) {
	f := r.file(0)
	if f == nil || f.xattr != nil || !f.open {
		return heldLock{}, unix.EBADF
	}
	bytes, ok := newByteRange(start, length)
	if !ok || kind > ninep.Unlock || len(owner.client) > maxClientID {
		return heldLock{}, unix.EINVAL
	}
	return heldLock{byteRange: bytes, write: kind == ninep.WriteLock, owner: owner, via: f}, nil
}
