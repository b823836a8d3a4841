package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/csi-9p/csi-9p/bench/work"
)

// The columns that the suite makes by itself.
const (
	ours     = "csi-9p"
	oursRing = "csi-9p, io_uring"
	local    = "local"
	plain    = "plain copy"
	kernel   = "kernel 9p"
)

// subject is one column: a file system's directories, the peer that copies, or work of its own.
type subject struct {
	Baseline
	direct    string // where nothing is held back, and direct I/O is done
	gathering string // where writes may gather
	peer      *work.Plain
	open      func() (*work.Work, error)
}

// made are the columns of a section, and what takes them down again.
type made struct {
	subjects []subject
	ends     []func() error
}

func (m *made) add(s subject) { m.subjects = append(m.subjects, s) }

// close takes down the latest first.
func (m *made) close() error {
	var errs []error
	for i := len(m.ends) - 1; i >= 0; i-- {
		errs = append(errs, m.ends[i]())
	}
	return errors.Join(errs...)
}

// standard are the columns of the tables that compare the mount with other file systems.
func (s *suite) standard(ctx context.Context, m *made) error {
	for _, own := range []struct {
		name  string
		flags []string
	}{{ours, nil}, {oursRing, []string{"--io-uring=require"}}} {
		err := s.mount(ctx, m, own.name, nil, []string{"cache=none"}, own.flags...)
		if err == nil {
			err = s.gather(ctx, m, own.flags...)
		}
		if err != nil && own.name == ours {
			return err
		}
		if err != nil {
			s.omit(own.name, err)
		}
	}
	if !s.served() {
		if err := m.in(Baseline{Name: local, Dir: s.Target, Uncached: s.Target}); err != nil {
			return err
		}
	}
	for _, b := range s.Against {
		if err := m.in(b); err != nil {
			return fmt.Errorf("--against %s: %w", b.Name, err)
		}
	}
	if err := s.kernel(m); err != nil {
		s.omit(kernel, err)
	}
	return s.peer(ctx, m)
}

// omit notes, once, that a column is not there.
func (s *suite) omit(name string, why error) {
	note := fmt.Sprintf("Not measured: %s: %v.", name, why)
	if !slices.Contains(s.report.Notes, note) {
		s.report.Notes = append(s.report.Notes, note)
	}
}

// mount adds a mount with some options, and one with more of them for the work that no cached attribute may answer.
func (s *suite) mount(ctx context.Context, m *made, name string, options, uncached []string, flags ...string) error {
	dir, unmount, err := s.rig.Mount(ctx, s.url, options, flags...)
	if err != nil {
		return err
	}
	m.ends = append(m.ends, unmount)
	b := Baseline{Name: name, Dir: dir, Uncached: dir}
	if uncached != nil {
		if b.Uncached, unmount, err = s.rig.Mount(ctx, s.url, append(uncached, options...), flags...); err != nil {
			return err
		}
		m.ends = append(m.ends, unmount)
	}
	if err := m.in(b); err != nil {
		return err
	}
	added := &m.subjects[len(m.subjects)-1]
	added.direct = added.Dir // it needs no special mount to bypass caches
	return nil
}

// gather gives the column that was added last a mount whose writes gather.
func (s *suite) gather(ctx context.Context, m *made, flags ...string) error {
	dir, unmount, err := s.rig.Mount(ctx, s.url, []string{"cache=loose"}, flags...)
	if err != nil {
		return err
	}
	m.ends = append(m.ends, unmount)
	dir, err = m.directory(dir)
	m.subjects[len(m.subjects)-1].gathering = dir
	return err
}

// in adds a file system, and makes a directory in it to work in.
func (m *made) in(b Baseline) error {
	dir, err := m.directory(b.Dir)
	if err != nil {
		return err
	}
	uncached := dir
	if b.Uncached != b.Dir {
		if uncached, err = m.directory(b.Uncached); err != nil {
			return err
		}
	}
	m.add(subject{Baseline: Baseline{Name: b.Name, Dir: dir, Uncached: uncached}, direct: uncached, gathering: dir})
	return nil
}

// directory makes one to work in.
func (m *made) directory(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "csi-9p-bench-")
	if err == nil {
		m.ends = append(m.ends, func() error { return os.RemoveAll(dir) })
	}
	return dir, err
}

// kernel adds mounts by the kernel's own client, if it has one.
func (s *suite) kernel(m *made) error {
	b := Baseline{Name: kernel}
	for _, mount := range []struct {
		dir   *string
		cache string
	}{{&b.Dir, "readahead"}, {&b.Uncached, "none"}} {
		dir, unmount, err := s.rig.MountKernel(s.url, mount.cache)
		if err != nil {
			return err
		}
		*mount.dir = dir
		m.ends = append(m.ends, unmount)
	}
	return m.in(b)
}

// peer adds the plain copy, over the kind of socket that the share is at.
func (s *suite) peer(ctx context.Context, m *made) error {
	transport := s.Transport
	if s.served() {
		transport, _, _ = strings.Cut(s.url, ":")
	}
	url, err := s.rig.Serve(ctx, transport, "bench", "peer")
	if err != nil {
		s.omit(plain, err)
		return nil
	}
	network, address, _ := strings.Cut(url, "://")
	m.add(subject{Baseline: Baseline{Name: plain}, peer: &work.Plain{Network: network, Address: address}})
	return nil
}
