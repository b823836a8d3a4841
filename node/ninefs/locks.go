package ninefs

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/ninefs/rangelock"
)

// A server never calls back when a lock becomes free: it is asked again after a pause that doubles from the first to the last.
const (
	firstLockPause = 10 * time.Millisecond
	lastLockPause  = time.Second
)

// ownerSeed makes lock owners numbers that the owners of another process hardly share.
var ownerSeed = maphash.MakeSeed()

// procID is what the server knows an owner by, beside the session's client id.
func (o lockOwner) procID() uint32 { return uint32(maphash.Comparable(ownerSeed, o)) }

func (fs *FS) posixOwner(id uint64) lockOwner { return lockOwner{fs, id, posixLocks} }

func (fs *FS) flockOwner(id uint64) lockOwner { return lockOwner{fs, id, flockLocks} }

// lockIn translates the lock that a request is about.
func (fs *FS) lockIn(in *fuse.LkIn) rangeLock {
	l := rangeLock{Owner: fs.posixOwner(in.Owner), First: in.Lk.Start, Last: min(in.Lk.End, rangelock.End), PID: in.Lk.PID}
	if in.LkFlags&fuse.LkFlock != 0 {
		l.Owner, l.First, l.Last = fs.flockOwner(in.Owner), 0, rangelock.End
	}
	if in.Lk.Type == unix.F_WRLCK {
		l.Kind = rangelock.Write
	}
	return l
}

// lockOut is a lock as the server is told of it.
func lockOut(l rangeLock, kind ninep.LockType) ninep.Lock {
	out := ninep.Lock{Type: kind, Start: l.First, Length: l.Last - l.First + 1, ProcID: l.Owner.procID()}
	if l.Last == rangelock.End {
		out.Length = 0
	}
	return out
}

func lockType(kind rangelock.Kind) ninep.LockType {
	if kind == rangelock.Write {
		return ninep.WriteLock
	}
	return ninep.ReadLock
}

func (fs *FS) getlk(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.LkIn](r)
	h, err := fs.handleOf(in.Fh)
	if err != nil {
		return err
	}
	want := fs.lockIn(in)
	out := fuse.FileLock{Type: unix.F_UNLCK}
	if l, ok := fs.locks.conflict(h.node.lockKey, want); ok {
		out = fuse.FileLock{Start: l.First, End: l.Last, Type: unix.F_RDLCK, PID: l.PID}
		if l.Kind == rangelock.Write {
			out.Type = unix.F_WRLCK
		}
	} else if !fs.localLocks.Load() {
		l, err := h.fid.GetLock(ctx, lockOut(want, lockType(want.Kind)))
		if err != nil && !fs.noServerLocks(err) {
			return err
		}
		if err == nil && l.Type != ninep.Unlock {
			out = lockFrom(l)
		}
	}
	r.ReplyLock(&out)
	return nil
}

// lockFrom translates a lock of another client. Its owner has no process id here.
func lockFrom(l ninep.Lock) fuse.FileLock {
	out := fuse.FileLock{Start: l.Start, End: l.Start + l.Length - 1, Type: unix.F_RDLCK}
	if l.Length == 0 || out.End > rangelock.End {
		out.End = rangelock.End
	}
	if l.Type == ninep.WriteLock {
		out.Type = unix.F_WRLCK
	}
	return out
}

func (fs *FS) setlk(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.LkIn](r)
	h, err := fs.handleOf(in.Fh)
	if err != nil {
		return err
	}
	want := fs.lockIn(in)
	if in.Lk.Type == unix.F_UNLCK {
		fs.unlock(ctx, h, want)
		r.ReplyOK()
		return nil
	}
	if r.Opcode() == fuse.OpSetlkw {
		return fs.waitForLock(r, h, want)
	}
	if err := fs.tryLock(ctx, h, want); err != nil {
		return err
	}
	fs.afterLock(ctx, h)
	r.ReplyOK()
	return nil
}

// turnKey names the turns of one owner's locks on one file: this machine and the server carry changes of them out in the same
// order, because the threads of a process own its locks together, and can lock and unlock at the same time.
type turnKey struct {
	file  lockKey
	owner lockOwner
}

func (fs *FS) tryLock(ctx context.Context, h *handle, want rangeLock) error {
	done, err := fs.turns.Take(ctx, turnKey{h.node.lockKey, want.Owner})
	if err != nil {
		return unix.EINTR
	}
	defer done()
	before, ok := fs.locks.try(h.node.lockKey, want)
	if !ok {
		return unix.EAGAIN
	}
	ok, err = fs.lockOnServer(ctx, h, want)
	if err == nil && !ok {
		err = unix.EAGAIN
	}
	if err != nil {
		fs.takeBack(h, want, before, err)
	}
	return err
}

// lockOnServer asks the server for a lock that was granted here; false: another client is in the way. It is the owner's turn.
func (fs *FS) lockOnServer(ctx context.Context, h *handle, want rangeLock) (bool, error) {
	fs.handles.locked(h, want.Owner)
	if fs.localLocks.Load() {
		return true, nil
	}
	status, err := h.fid.Lock(ctx, lockOut(want, lockType(want.Kind)))
	switch {
	case err != nil && fs.noServerLocks(err):
		return true, nil
	case err != nil:
		return false, err
	case status == ninep.LockSuccess:
		return true, nil
	case status == ninep.LockError:
		return false, unix.ENOLCK
	}
	return false, nil // blocked, or a server that has just started
}

// takeBack undoes what was granted here because the server did not grant it. Where nobody knows whether it did, what the owner
// had before is put in its place there, too.
func (fs *FS) takeBack(h *handle, want rangeLock, before []rangeLock, why error) {
	if ninep.IsErrno(why, unix.EINTR) {
		ctx, cancel := context.WithTimeout(fs.ctx, grace)
		defer cancel()
		_, _ = h.fid.Lock(ctx, lockOut(want, ninep.Unlock))
		for _, l := range before {
			_, _ = h.fid.Lock(ctx, lockOut(l, lockType(l.Kind)))
		}
	}
	fs.locks.restore(h.node.lockKey, want, before)
}

// noServerLocks learns from an error that the server has no locks, which then are this machine's own.
func (fs *FS) noServerLocks(err error) bool {
	if ninep.IsErrno(err, unix.EOPNOTSUPP, unix.ENOSYS) {
		fs.localLocks.Store(true)
		return true
	}
	return false
}

// afterLock makes the kernel see a file as it is now that it is locked: whoever held the lock before on another client may
// have changed it.
func (fs *FS) afterLock(ctx context.Context, h *handle) {
	if fs.localLocks.Load() || fs.o.Cache != CloseToOpen {
		return
	}
	epoch := h.node.outdate()
	attr, err := fs.attrThrough(ctx, h)
	if err != nil {
		fs.notify(ctx, h.node.id)
		return
	}
	fs.refresh(ctx, h.node, attr, epoch, false)
}

// unlock gives a range back, on the server first: whoever is waiting here then finds it free there.
func (fs *FS) unlock(ctx context.Context, h *handle, l rangeLock) {
	key := h.node.lockKey
	done, err := fs.turns.Take(ctx, turnKey{key, l.Owner})
	if err == nil { // else the server says nothing, and the lock is given back here all the same
		defer done()
	}
	if !fs.locks.holds(key, l.Owner, l.First, l.Last) {
		return
	}
	if !fs.localLocks.Load() {
		for _, via := range fs.handles.lockedBy(h.node, l.Owner) {
			// A server that is lost has lost its locks as well.
			_, _ = via.fid.Lock(ctx, lockOut(l, ninep.Unlock))
		}
	}
	fs.locks.release(key, l.Owner, l.First, l.Last)
	if !fs.locks.holds(key, l.Owner, 0, rangelock.End) {
		fs.handles.unlocked(h.node, l.Owner)
	}
}

// unlockAll gives back everything that an owner holds of a file, which is being closed. Patience with the server ends without
// an interrupt: a process that was killed closes its files when the signal is not pending any more, and the kernel waits for
// the answer to FLUSH (FR_FORCE, fuse_flush of fs/fuse/file.c, Linux 6.18).
func (fs *FS) unlockAll(ctx context.Context, h *handle, owner lockOwner) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	fs.unlock(ctx, h, rangeLock{Owner: owner, Last: rangelock.End})
}

// nothingToFlush reports whether a FLUSH has no lock to give back, and no time to set.
func (fs *FS) nothingToFlush(r *fuse.Request) bool {
	in := fuse.In[fuse.FlushIn](r)
	h := fs.handles.get(in.Fh)
	if h != nil && fs.o.Cache == Loose {
		if _, due := h.node.retiming(); due {
			return false
		}
	}
	return h != nil && !fs.locks.holds(h.node.lockKey, fs.posixOwner(in.LockOwner), 0, rangelock.End)
}

// lockWait is a SETLKW that could not be granted at once: it waits for an owner here, then for one on another client. No
// goroutine waits with it.
type lockWait struct {
	fs     *FS
	r      *fuse.Request
	h      *handle
	waiter lockWaiter
	pause  time.Duration

	mu    sync.Mutex
	timer *time.Timer        // runs between two questions to the server
	stop  context.CancelFunc // ends the question under way
	over  bool               // somebody answers the request
	quit  bool               // the caller was interrupted
}

func (fs *FS) waitForLock(r *fuse.Request, h *handle, want rangeLock) error {
	w := &lockWait{fs: fs, r: r, h: h, pause: firstLockPause}
	w.waiter = lockWaiter{key: h.node.lockKey, want: want, granted: func() { fs.pool.post(w.ask) }}
	now, err := fs.locks.wait(&w.waiter)
	if err != nil {
		return err
	}
	if now {
		w.ask()
		return nil
	}
	w.arm()
	return nil
}

// arm lets an interrupt end the wait, at once: it is what fcntl(2) promises, and nothing was done yet.
func (w *lockWait) arm() {
	w.mu.Lock()
	early := !w.over && !w.r.OnInterrupt(w.interrupt)
	w.mu.Unlock()
	if early {
		w.interrupt()
	}
}

func (w *lockWait) interrupt() {
	w.mu.Lock()
	w.quit = true
	if w.stop != nil {
		w.stop()
	}
	between := w.timer != nil && w.timer.Stop()
	w.mu.Unlock()
	switch {
	case between:
		w.end(unix.EINTR, true)
	case w.fs.locks.cancel(&w.waiter):
		w.end(unix.EINTR, false)
	}
}

// ask asks the server for the lock that was granted here. It runs on a worker.
func (w *lockWait) ask() {
	ctx, cancel := context.WithCancel(w.fs.ctx)
	defer cancel()
	w.mu.Lock()
	w.timer, w.stop = nil, cancel
	quit := w.quit
	w.mu.Unlock()
	if quit {
		w.end(unix.EINTR, true)
		return
	}
	w.arm()
	done, err := w.fs.turns.Take(ctx, turnKey{w.waiter.key, w.waiter.want.Owner})
	if err != nil {
		w.end(unix.EINTR, true)
		return
	}
	if !w.stillGranted() {
		done()
		return
	}
	ok, err := w.fs.lockOnServer(ctx, w.h, w.waiter.want)
	if err != nil {
		w.fs.takeBack(w.h, w.waiter.want, w.waiter.before, err)
	}
	done()
	switch {
	case err != nil:
		w.end(errnoOf(err), false)
	case ok:
		w.fs.afterLock(ctx, w.h)
		w.end(0, false)
	default:
		w.rest()
	}
}

// stillGranted reports whether the lock is still the owner's here: another of its threads may have given it back meanwhile. Where
// somebody else was quicker then, the wait begins again.
func (w *lockWait) stillGranted() bool {
	w.mu.Lock()
	granted := w.fs.locks.renew(&w.waiter)
	if !granted {
		w.stop = nil
	}
	quit := w.quit
	w.mu.Unlock()
	if !granted && quit && w.fs.locks.cancel(&w.waiter) {
		w.end(unix.EINTR, false)
	}
	return granted
}

// rest has the server asked again after a pause.
func (w *lockWait) rest() {
	w.mu.Lock()
	w.stop = nil
	quit := w.quit
	if !quit {
		w.timer = time.AfterFunc(w.pause, func() { w.fs.pool.post(w.ask) })
		w.pause = min(2*w.pause, lastLockPause)
	}
	w.mu.Unlock()
	if quit {
		w.end(unix.EINTR, true)
	}
}

// end answers the request; restore: the lock that was granted here is not to be had.
func (w *lockWait) end(errno unix.Errno, restore bool) {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	if restore {
		w.fs.locks.restore(w.waiter.key, w.waiter.want, w.waiter.before)
	}
	if errno != 0 {
		w.r.ReplyError(errno)
		return
	}
	w.r.ReplyOK()
}
