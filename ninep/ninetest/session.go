package ninetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var sessionRules = []rule{
	{"two-see-each-others-changes", sessionsAgree},
	{"many-fids", sessionFids},
	{"many-open-files", sessionOpenFiles},
	{"sixty-four-callers-on-files-of-their-own", sessionCallers},
	{"sixty-four-callers-on-one-file", sessionOneFile},
	{"sixty-four-callers-on-one-directory", sessionOneDirectory},
	{"a-lost-client-frees-its-fids", sessionLost},
}

func sessionsAgree(s *scope) {
	o := s.second()
	s.file("f", "data")
	o.content("f", "data")
	f := o.openFile("f", unix.O_RDWR)
	o.write(f, []byte("longer than before"), 0)
	s.content("f", "longer than before")
	o.setattr(f, ninep.SetAttr{Valid: ninep.SetMode | ninep.SetSize, Mode: 0o600, Size: 6})
	if attr := s.attrOf("f"); attr.Size != 6 || attr.Mode&0o777 != 0o600 {
		s.tb.Errorf("size %d, mode %o", attr.Size, attr.Mode)
	}
	s.ok(o.dir.Rename(s.ctx, "f", o.mkdir(o.dir, "d"), "g"), "rename")
	if s.exists(s.dir, "f") || !s.exists(s.walk(s.dir, "d"), "g") {
		s.tb.Error("the rename is not seen")
	}
	s.sameQID(s.walk(s.dir, "d", "g").QID(), f.QID(), "the renamed file")
	s.ok(s.walk(s.dir, "d").Unlink(s.ctx, "g", false), "unlink")
	if o.exists(o.walk(o.dir, "d"), "g") {
		s.tb.Error("the unlink is not seen")
	}
}

// exhausted is how a server may say that it has no more room for a fid.
func exhausted(err error) bool {
	return ninep.IsErrno(err, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ERANGE, unix.ENOSPC)
}

// gather calls more until it says no, at most n times, and fails the rule
// unless that leaves the others usable and room can be made again. Callers do it
// at the same time: one alone would spend its time on round trips.
func (s *scope) gather(n, atLeast int, more func() (*ninep.Fid, error)) {
	s.tb.Helper()
	fids := s.gathered(n, more)
	if len(fids) < atLeast {
		s.tb.Fatalf("%d is all there is, want %d", len(fids), atLeast)
	}
	for _, f := range []*ninep.Fid{fids[0], fids[len(fids)/2], fids[len(fids)-1]} {
		s.attr(f)
	}
	s.each(len(fids), func(i int) error { return fids[i].Clunk(s.ctx) })
	f, err := more()
	s.ok(err, "one more after all were clunked")
	s.ok(f.Clunk(s.ctx), "clunk")
}

// gathered is what n calls of more return, or fewer if one says that there is no more room.
func (s *scope) gathered(n int, more func() (*ninep.Fid, error)) []*ninep.Fid {
	s.tb.Helper()
	var mu sync.Mutex
	var fids []*ninep.Fid
	left, full := n, error(nil)
	s.callers(func(int, *rand.Rand) error {
		mu.Lock()
		defer mu.Unlock()
		for left > 0 && full == nil {
			left--
			mu.Unlock()
			f, err := more()
			mu.Lock()
			switch {
			case err == nil:
				fids = append(fids, f)
			case exhausted(err):
				full = err
			default:
				return err
			}
		}
		return nil
	})
	if full != nil {
		s.tb.Logf("no more than %d: %v", len(fids), full)
	}
	return fids
}

func sessionFids(s *scope) {
	s.gather(20000, 1000, func() (*ninep.Fid, error) { return s.dir.Walk(s.ctx) })
}

func sessionOpenFiles(s *scope) {
	s.file("f", "data")
	s.gather(3000, 500, func() (*ninep.Fid, error) {
		f, err := s.dir.Walk(s.ctx, "f")
		if err != nil {
			return nil, err
		}
		if err := f.Open(s.ctx, unix.O_RDONLY); err != nil {
			return nil, errors.Join(err, f.Clunk(s.ctx))
		}
		return f, nil
	})
}

// callers is how many work at the same time.
const callers = 64

// callers runs a work in that many goroutines and reports its errors.
func (s *scope) callers(work func(id int, r *rand.Rand) error) {
	s.tb.Helper()
	var all sync.WaitGroup
	for id := range callers {
		all.Go(func() {
			if err := work(id, rand.New(rand.NewPCG(uint64(id), 99))); err != nil {
				s.tb.Errorf("caller %d: %v", id, err)
			}
		})
	}
	all.Wait()
}

// each does n things, which do not depend on each other.
func (s *scope) each(n int, do func(i int) error) {
	s.tb.Helper()
	s.callers(func(id int, _ *rand.Rand) error {
		for i := id; i < n; i += callers {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	})
}

func sessionCallers(s *scope) {
	s.callers(func(id int, r *rand.Rand) error {
		o := ownFile{s: s, id: id, name: fmt.Sprintf("own-%d", id)}
		if err := o.create(); err != nil {
			return err
		}
		for range 60 {
			if err := o.step(r); err != nil {
				return errors.Join(err, o.fid.Clunk(s.ctx))
			}
		}
		return o.fid.Clunk(s.ctx)
	})
}

// ownFile is a file that one caller works on, and what must be in it.
type ownFile struct {
	s     *scope
	id    int
	name  string
	fid   *ninep.Fid
	model []byte
}

func (o *ownFile) create() (err error) {
	if o.fid, err = o.s.dir.Walk(o.s.ctx); err != nil {
		return err
	}
	return o.fid.Create(o.s.ctx, o.name, unix.O_RDWR|unix.O_EXCL, 0o644, o.s.server.UID)
}

// step does one random operation and compares what it shows with the model.
func (o *ownFile) step(r *rand.Rand) error {
	switch r.IntN(6) {
	case 0, 1:
		return o.write(r)
	case 2, 3:
		return o.read(r)
	case 4:
		return o.truncate(r)
	default:
		return o.rename(r)
	}
}

func (o *ownFile) write(r *rand.Rand) error {
	data, offset := random(r.Uint64(), r.IntN(40000)), r.IntN(20000)
	if end := offset + len(data); end > len(o.model) && len(data) > 0 {
		o.model = append(o.model, make([]byte, end-len(o.model))...)
	}
	if len(data) > 0 {
		copy(o.model[offset:], data)
	}
	n, err := o.fid.Write(o.s.ctx, data, int64(offset))
	if err == nil && n != len(data) {
		return fmt.Errorf("wrote %d of %d", n, len(data))
	}
	return err
}

func (o *ownFile) read(r *rand.Rand) error {
	offset := r.IntN(20000)
	buf := make([]byte, r.IntN(60000))
	n, err := o.fid.Read(o.s.ctx, buf, int64(offset))
	if err != nil {
		return err
	}
	want := o.model[min(offset, len(o.model)):min(offset+len(buf), len(o.model))]
	if string(buf[:n]) != string(want) {
		return fmt.Errorf("%s at %d: %s", o.name, offset, difference(buf[:n], want))
	}
	return nil
}

func (o *ownFile) truncate(r *rand.Rand) error {
	size := r.IntN(30000)
	o.model = append(o.model[:min(size, len(o.model))], make([]byte, max(0, size-len(o.model)))...)
	if err := o.fid.Setattr(o.s.ctx, ninep.SetAttr{Valid: ninep.SetSize, Size: uint64(size)}); err != nil {
		return err
	}
	attr, err := o.fid.Getattr(o.s.ctx, ninep.AttrSize)
	if err == nil && attr.Size != uint64(size) {
		return fmt.Errorf("size %d after truncate to %d", attr.Size, size)
	}
	return err
}

// rename goes on with a new fid: what becomes of the old one is a rule of its own.
func (o *ownFile) rename(r *rand.Rand) error {
	ctx, name := o.s.ctx, fmt.Sprintf("own-%d-%d", o.id, r.IntN(100))
	if err := o.s.dir.Rename(ctx, o.name, o.s.dir, name); err != nil {
		return err
	}
	o.name = name
	if err := o.fid.Clunk(ctx); err != nil {
		return err
	}
	var err error
	if o.fid, err = o.s.dir.Walk(ctx, name); err != nil {
		return err
	}
	return o.fid.Open(ctx, unix.O_RDWR)
}

// sessionOneFile has every caller own a stripe of the file.
func sessionOneFile(s *scope) {
	f := s.create("f")
	const stripe = 10007
	s.callers(func(id int, r *rand.Rand) error {
		for range 20 {
			data := random(r.Uint64(), stripe)
			if _, err := f.Write(s.ctx, data, int64(id*stripe)); err != nil {
				return err
			}
			buf := make([]byte, stripe)
			if n, err := f.Read(s.ctx, buf, int64(id*stripe)); err != nil || string(buf[:n]) != string(data) {
				return fmt.Errorf("stripe: %w: %s", err, difference(buf[:n], data))
			}
		}
		return nil
	})
	if size := s.attr(f).Size; size != 64*stripe {
		s.tb.Errorf("size %d, want %d", size, 64*stripe)
	}
}

// sessionOneDirectory: of 64 callers that create one name exclusively, one
// succeeds; the rest of their names all appear.
func sessionOneDirectory(s *scope) {
	var mu sync.Mutex
	winners := map[string]int{}
	s.callers(func(id int, _ *rand.Rand) error {
		for round := range 10 {
			if _, err := s.dir.Mkdir(s.ctx, fmt.Sprintf("mine-%d-%d", id, round), 0o755, 0); err != nil {
				return err
			}
			name := "contended-" + itoa(round)
			_, err := s.dir.Mkdir(s.ctx, name, 0o755, 0)
			if err == nil {
				mu.Lock()
				winners[name]++
				mu.Unlock()
			} else if !errors.Is(err, unix.EEXIST) {
				return err
			}
		}
		return nil
	})
	for name, n := range winners {
		if n != 1 {
			s.tb.Errorf("%s was made %d times", name, n)
		}
	}
	if n := len(s.list(s.dir)); n != 650 {
		s.tb.Errorf("%d entries, want 650", n)
	}
}

// sessionLost: open files of a client that goes away without a word are closed.
func sessionLost(s *scope) {
	for range 20 {
		w := s.wire()
		for fid := range ninep.FID(100) {
			w.must(&ninep.Twalk{Fid: dirFid, NewFid: 10 + fid})
			w.must(s.topen(10+fid, ninep.OpenReadOnly))
		}
		s.ok(w.conn.Close(), "close")
	}
	s.ok(s.second().dir.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o755}), "setattr in a new session")
}
