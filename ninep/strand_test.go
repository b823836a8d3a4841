package ninep_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// thread is a strand that has a goroutine to wait on, and notes whether that was allowed.
type thread struct {
	woken chan struct{}
	left  bool
}

func (s *thread) Park() { <-s.woken }
func (s *thread) Unpark() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}
func (s *thread) Leave()     { s.left = true }
func (s *thread) Left() bool { return s.left }

// TestStrandLeaves: a call that keeps its goroutine waiting has its strand leave before, or replies that only the goroutine would
// take never came; others park.
func TestStrandLeaves(t *testing.T) {
	g := newGate(t)
	ok(t, os.WriteFile(filepath.Join(g.root, "file"), []byte("123"), 0o600))
	_, root := g.open(ninep.Config{})
	var f *ninep.Fid
	for _, step := range []struct {
		name  string
		waits bool
		do    func(context.Context) error
	}{
		{"walk and attributes", false, func(ctx context.Context) (err error) { f, _, err = root.WalkAttr(ctx, "file"); return err }},
		{"open", false, func(ctx context.Context) error { return f.Open(ctx, unix.O_RDWR) }},
		{"change", false, func(ctx context.Context) error {
			_, err := f.Change(ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o640})
			return err
		}},
		{"read", true, func(ctx context.Context) error { _, err := f.Read(ctx, make([]byte, 3), 0); return err }},
		{"write", true, func(ctx context.Context) error { _, err := f.Write(ctx, []byte("123"), 0); return err }},
		{"clunk", true, func(ctx context.Context) error { return f.Clunk(ctx) }},
	} {
		s := &thread{woken: make(chan struct{}, 1)}
		if err := step.do(ninep.WithStrand(testContext(t), s)); err != nil || s.left != step.waits {
			t.Errorf("%s: %v; left %t", step.name, err, s.left)
		}
	}
}
