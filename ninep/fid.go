package ninep

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// Fid is a file of the server. It is safe for concurrent use. Clunk, Drop and Remove end it; calls under way
// still use it and the number goes back when the last of them is done, later ones fail with EBADF.
//
// After a reconnect a fid is bound anew by its path, and opened if it was open. If another file or none is there, or it
// cannot be opened, it is stale: every call on it fails with ESTALE from then on, and it still has to be ended. So is the
// fid of an open file whose name was removed, because there is no path to it.
type Fid struct {
	session *Session
	volume  *volume
	number  FID

	mu      sync.Mutex
	place   *place
	qid     QID
	pins    int          // messages under way that name it
	ended   bool         // Clunk, Drop or Remove was called
	clunked chan<- error // told what became of it; nil: nobody waits
	bound   *link        // where the server knows the number; nil: nowhere
	failed  unix.Errno   // ESTALE, or EIO for lost locks; 0: usable
	special bool         // bound to an extended attribute, which nothing can bind again
	open    bool
	flags   uint32 // 9P's, that it was opened with
	iounit  uint32
	locks   []Lock // granted through it

	position *dirPosition // of an open directory, where entries are read as a file's content; nil: at the start
}

// volume is what the fids have in common that come of one Attach.
type volume struct {
	options AttachOptions
}

// apart reports whether a payload of n bytes goes to the transport apart from its head.
func (v *volume) apart(l *link, n int) bool {
	switch {
	case v.options.ZeroCopy == ZeroCopyOff:
		return false
	case v.options.Threshold != 0:
		return n >= v.options.Threshold
	}
	return n >= l.conn.Traits().Threshold
}

// newFid takes a number for a fid of the volume. The server knows nothing of it yet.
func (s *Session) newFid(v *volume) (*Fid, error) {
	limit := uint32(NoFID)
	if l := s.features.fidLimit.Load(); l != 0 {
		limit = l
	}
	s.fidMu.Lock()
	defer s.fidMu.Unlock()
	number, ok := s.numbers.take(limit)
	if !ok {
		return nil, unix.ENFILE
	}
	f := &Fid{session: s, volume: v, number: FID(number)}
	s.fids[f.number] = f
	return f, nil
}

// refused learns from the errno of a message that would have bound the fid how many the server bears.
func (f *Fid) refused(err error) {
	features := &f.session.features
	switch {
	case errors.Is(err, unix.ERANGE):
		// nfs-ganesha's table has 1024 entries and it refuses higher numbers for good.
		features.fidLimit.Store(max(uint32(f.number), 1))
		features.maxFids.Store(uint32(f.number))
	case errors.Is(err, unix.ENFILE), errors.Is(err, unix.EMFILE):
		features.maxFids.Store(uint32(f.number))
	}
}

// QID is the server's identification of the file.
func (f *Fid) QID() QID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.qid
}

// Path is the file's path from the root of its attach, for messages: it is not to be taken apart or walked.
func (f *Fid) Path() string {
	f.mu.Lock()
	p := f.place
	f.mu.Unlock()
	if p == nil {
		return ""
	}
	return f.session.places.path(p)
}

// MaxPayload is the most payload bytes that one message on this fid carries now.
func (f *Fid) MaxPayload() int {
	most := f.session.MaxPayload()
	if v := f.volume.options.MaxPayload; v > 0 {
		most = min(most, v)
	}
	return most
}

// pin keeps the number bound while a message that names it is under way.
func (f *Fid) pin() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended:
		return unix.EBADF
	case f.failed != 0:
		return f.failed
	}
	f.pins++
	return nil
}

func (f *Fid) unpin() {
	f.mu.Lock()
	f.pins--
	last := f.ended && f.pins == 0
	f.mu.Unlock()
	if last {
		f.release()
	}
}

func pinAll(fids [2]*Fid) error {
	for i, f := range fids {
		if f == nil {
			continue
		}
		if err := f.pin(); err != nil {
			if i == 1 && fids[0] != nil {
				fids[0].unpin()
			}
			return err
		}
	}
	return nil
}

func unpinAll(fids [2]*Fid) {
	for _, f := range fids {
		if f != nil {
			f.unpin()
		}
	}
}

// bind records that the server knows the number on this link as the file at the place, whose reference becomes the
// fid's. A nil place leaves the place as it is.
func (f *Fid) bind(l *link, qid QID, p *place) {
	f.mu.Lock()
	old := f.place
	f.bound, f.qid = l, qid
	if p != nil {
		f.place = p
	}
	f.mu.Unlock()
	if p != nil && old != nil {
		f.session.places.drop(old)
	}
}

// maybeBind records that the server may know the number: Tclunk has to settle it.
func (f *Fid) maybeBind(l *link) {
	f.mu.Lock()
	f.bound = l
	f.mu.Unlock()
}

// unbind records that the server does not know the number any more.
func (f *Fid) unbind() {
	f.mu.Lock()
	f.bound = nil
	f.mu.Unlock()
}

// Clunk ends the fid and waits for the server's answer, an error of which has no consequence: the fid is gone. A lost
// server ends the wait with nil, because its fids went with the connection. EBADF: it was ended before.
func (f *Fid) Clunk(ctx context.Context) error {
	err := f.clunk(ctx)
	if isLost(err) {
		return nil
	}
	return f.fail("clunk", err)
}

func (f *Fid) clunk(ctx context.Context) error {
	clunked := make(chan error, 1)
	if !f.end(clunked) {
		return unix.EBADF
	}
	Block(ctx)
	select {
	case err := <-clunked:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Drop is Clunk without waiting: it never blocks. To drop a fid that was ended before does nothing.
func (f *Fid) Drop() { f.end(nil) }

func (f *Fid) end(clunked chan<- error) bool {
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return false
	}
	f.ended, f.clunked = true, clunked
	last := f.pins == 0
	f.mu.Unlock()
	if last {
		f.release()
	}
	return true
}

// release gives an ended fid back that no message names: to the server if it knows it, else at once.
func (f *Fid) release() {
	if f.bound == nil {
		f.released(nil)
		return
	}
	c := &clunk{fid: f}
	c.receiver = c
	c.Urgent = true
	c.Head, _ = Append(c.head[:0], 0, &Tclunk{Fid: f.number}) // fixed size: cannot fail
	c.Reply = f.bound.errorRoom(c.reply[:])
	f.bound.submit(&c.call)
}

// released gives the number back, now that no reply can mean it any more.
func (f *Fid) released(err error) {
	s := f.session
	if f.place != nil {
		s.places.drop(f.place)
	}
	s.fidMu.Lock()
	delete(s.fids, f.number)
	s.numbers.give(uint32(f.number))
	s.fidMu.Unlock()
	if f.clunked != nil {
		f.clunked <- err
	}
}

// clunk is a Tclunk on its way. A number is not used again before its Rclunk, and is free after it even if that is an
// error (clunk(5)).
type clunk struct {
	call
	fid   *Fid
	head  [HeaderSize + 4]byte
	reply [32]byte
}

// received implements [receiver].
func (c *clunk) received() {
	_, err := c.answer()
	c.fid.released(err)
}

// Remove removes the file from its directory and ends the fid, also when the server refuses (Tremove).
func (f *Fid) Remove(ctx context.Context) error {
	err := f.session.do(ctx, func(l *link, again bool) error {
		err := f.removeOn(ctx, l)
		if again && IsErrno(err, unix.ENOENT, unix.ESTALE) {
			return nil // the try whose connection was lost has done it
		}
		return err
	})
	err = f.fail("remove", err)
	f.Drop()
	return err
}

// removeOn sends Tremove. It leaves the fid unbound, for the caller to drop.
func (f *Fid) removeOn(ctx context.Context, l *link) error {
	return l.roundTrip(ctx, request{
		message: &Tremove{Fid: f.number}, reply: &Rremove{}, fids: [2]*Fid{f},
		settle: func(err error) {
			switch {
			case errors.Is(err, errUnsent), isUnanswered(err), isLost(err):
				return
			case err == nil:
				f.session.places.removePlace(f.where())
			}
			f.unbind()
		},
	})
}
