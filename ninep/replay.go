package ninep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// replayWidth is how many fids are bound again at a time.
const replayWidth = 64

// replay binds the session's fids again on a link that is not yet the current one, each to its old number. A file that
// is another one now, or is gone, makes its fid stale; so does a tree that is gone, if there are others. The error is
// that of the link, or of the attach when no tree at all can be attached: that server is not ready.
func (s *Session) replay(ctx context.Context, l *link) error {
	volumes := s.replayable()
	var stale []*Fid
	var unattached error
	for v, fids := range volumes {
		err := s.replayVolume(ctx, l, v, fids)
		_, refused := refusal(err)
		switch {
		case refused:
			unattached = fmt.Errorf("attach %q again: %w", v.options.Aname, err)
			stale = append(stale, fids...)
			delete(volumes, v)
		case err != nil:
			return err
		}
	}
	if unattached != nil && len(volumes) == 0 {
		return unattached
	}
	for _, f := range stale {
		f.spoil(unix.ESTALE)
	}
	return nil
}

// replayable returns the fids that were bound, by volume. Others are bound by the calls that are still to do it.
func (s *Session) replayable() map[*volume][]*Fid {
	s.fidMu.Lock()
	defer s.fidMu.Unlock()
	volumes := map[*volume][]*Fid{}
	for _, f := range s.fids {
		f.mu.Lock()
		if f.place != nil && !f.special && f.failed == 0 && !f.ended {
			volumes[f.volume] = append(volumes[f.volume], f)
		}
		f.mu.Unlock()
	}
	return volumes
}

// replayVolume attaches by a fid of its own and walks every other from there: the one that Attach made may be gone.
func (s *Session) replayVolume(ctx context.Context, l *link, v *volume, fids []*Fid) error {
	anchor, err := s.newFid(v)
	if err != nil {
		return err
	}
	defer anchor.Drop()
	if err := l.withRoom(ctx, func() error { return anchor.attachOn(ctx, l) }); err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(replayWidth)
	for _, f := range fids {
		group.Go(func() error {
			if f.pin() != nil {
				return nil // ended meanwhile
			}
			defer f.unpin()
			return f.rebind(ctx, l, anchor)
		})
	}
	return group.Wait()
}

// rebind binds the fid again. Only a lost link is an error.
func (f *Fid) rebind(ctx context.Context, l *link, anchor *Fid) error {
	errno := unix.ESTALE
	err := l.withRoom(ctx, func() error { return f.find(ctx, l, anchor) })
	if err == nil {
		err = l.withRoom(ctx, func() error { return f.reopen(ctx, l) })
	}
	if err == nil {
		errno = unix.EIO
		err = f.relock(ctx, l)
	}
	if isLost(err) || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if err != nil {
		f.spoil(errno)
	}
	return nil
}

// find walks to the fid's file. While a rename of it or of a directory above is under way, the file is at one of two
// places.
func (f *Fid) find(ctx context.Context, l *link, anchor *Fid) error {
	now, then, ok := f.session.places.names(f.where())
	if !ok {
		return unix.ESTALE
	}
	err := f.findAt(ctx, l, anchor, now)
	if err != nil && !isLost(err) && !slices.Equal(now, then) {
		err = f.findAt(ctx, l, anchor, then)
	}
	return err
}

func (f *Fid) findAt(ctx context.Context, l *link, anchor *Fid, names []string) error {
	from, rest := anchor, names
	qid := anchor.QID()
	for first := true; first || len(rest) > 0; first = false {
		step := rest[:l.stride(rest)]
		w := newWalk(from, f, step)
		// The bond is recorded at once: whatever comes next, the number is the server's to give back.
		if err := w.send(ctx, l, func() { f.maybeBind(l) }); err != nil {
			return f.loosen(ctx, l, from == f, err)
		}
		if len(step) > 0 {
			qid = w.qid()
		}
		from, rest = f, rest[len(step):]
	}
	if !qid.SameFile(f.QID()) {
		return f.loosen(ctx, l, true, unix.ESTALE)
	}
	return nil
}

// loosen gives the number back that the server bound to the wrong file, so that it can be bound again, and returns why.
func (f *Fid) loosen(ctx context.Context, l *link, bound bool, why error) error {
	if !bound {
		return why
	}
	err := l.roundTrip(ctx, request{message: &Tclunk{Fid: f.number}, fids: [2]*Fid{f}, settle: func(error) { f.unbind() }})
	if isLost(err) {
		return err
	}
	return why
}

// spoil makes every call on the fid fail from now on.
func (f *Fid) spoil(errno unix.Errno) {
	f.session.counters.spoiled.Add(1)
	f.mu.Lock()
	f.failed = errno
	f.mu.Unlock()
}

// reopen opens the fid again if it was open. What Open or Create did to the file is done.
func (f *Fid) reopen(ctx context.Context, l *link) error {
	f.mu.Lock()
	open, flags := f.open, f.flags&^(OpenCreate|OpenExcl|OpenTrunc)
	f.mu.Unlock()
	if !open {
		return nil
	}
	qid := f.QID()
	if err := f.openOn(ctx, l, flags); err != nil {
		return err
	}
	if !qid.SameFile(f.QID()) {
		return unix.ESTALE // replaced between the walk and this
	}
	return nil
}

// What the server has for the connection that was lost, files and locks, may be in the way of this one's until it has noticed.
const (
	noticeTime  = 2 * time.Second
	noticePause = 20 * time.Millisecond
)

// withRoom repeats a try that the server has no room for, while the link is young.
func (l *link) withRoom(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !IsErrno(err, unix.ENFILE, unix.EMFILE) || time.Since(l.made) > noticeTime || !pause(ctx, noticePause) {
			return err
		}
	}
}

// relock takes the fid's locks again.
func (f *Fid) relock(ctx context.Context, l *link) error {
	f.mu.Lock()
	locks := slices.Clone(f.locks)
	f.mu.Unlock()
	if len(locks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, noticeTime)
	defer cancel()
	for _, lock := range locks {
		for {
			err := f.reclaim(ctx, l, lock)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EAGAIN) || !pause(ctx, noticePause) {
				return err
			}
		}
	}
	return nil
}

// pause waits, and reports whether it was not cancelled.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reclaim takes a lock again. EAGAIN: not now.
func (f *Fid) reclaim(ctx context.Context, l *link, lock Lock) error {
	status, err := f.relockOnce(ctx, l, lock, LockBlock|LockReclaim)
	if errors.Is(err, unix.EINVAL) {
		// QEMU knows no flag but LockBlock.
		status, err = f.relockOnce(ctx, l, lock, LockBlock)
	}
	switch {
	case err != nil:
		return err
	case status == LockSuccess:
		return nil
	case status == LockError:
		return unix.ENOLCK
	}
	return unix.EAGAIN
}

func (f *Fid) relockOnce(ctx context.Context, l *link, lock Lock, flags uint32) (LockStatus, error) {
	var reply lockReply
	err := l.roundTrip(ctx, request{message: f.tlock(lock, flags), reply: &reply, fids: [2]*Fid{f}})
	if err != nil {
		return 0, err
	}
	return reply.Status, nil
}
