package ninefs_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

// TestStatSeesTheServer: without a cache every stat tells what the server has under the name now, whatever was there before.
func TestStatSeesTheServer(t *testing.T) {
	lab.NeedRoot(t)
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, func(o *ninefs.Options) { o.Cache = ninefs.CacheNone })
		there := func(name string) string { return filepath.Join(s.root, name) }
		write(t, there("f"), "1")
		write(t, there("other"), "other")
		steps := []struct {
			name string
			do   func() error
			size int64 // -1: a directory, -2: nothing
		}{
			{"as it is", func() error { return nil }, 1},
			{"again", func() error { return nil }, 1},
			{"written", func() error { return os.WriteFile(there("f"), []byte("22"), 0o600) }, 2},
			{"replaced", func() error { return os.Rename(there("other"), there("f")) }, 5},
			{"removed", func() error { return os.Remove(there("f")) }, -2},
			{"a directory", func() error { return os.MkdirAll(there("f/x"), 0o700) }, -1},
			{"again a directory", func() error { return nil }, -1},
			{"a file again", func() error {
				if err := os.RemoveAll(there("f")); err != nil {
					return err
				}
				return os.WriteFile(there("f"), []byte("333"), 0o600)
			}, 3},
		}
		for _, step := range steps {
			check(t, step.do())
			info, err := os.Stat(m.path("f"))
			switch {
			case step.size == -2:
				wantErr(t, err, os.ErrNotExist)
			case err != nil:
				t.Errorf("%s: %v", step.name, err)
			case info.IsDir() != (step.size == -1) || !info.IsDir() && info.Size() != step.size:
				t.Errorf("%s: %v, %d bytes", step.name, info.Mode(), info.Size())
			}
		}
	})
}

// TestFstatSeesTheServer: nor does fstat(2) tell what the stat before it was told, or the open.
func TestFstatSeesTheServer(t *testing.T) {
	lab.NeedRoot(t)
	s := exporter(t)
	m := mount(t, s, func(o *ninefs.Options) { o.Cache = ninefs.CacheNone })
	there := filepath.Join(s.root, "f")
	write(t, there, "")
	f, err := os.Open(m.path("f"))
	check(t, err)
	defer f.Close()
	for size := range int64(50) {
		check(t, os.Truncate(there, size))
		if got := stat(t, m.path("f")); got.Size != size {
			t.Fatalf("stat: %d bytes, want %d", got.Size, size)
		}
		check(t, os.Truncate(there, size+100))
		var st unix.Stat_t
		check(t, unix.Fstat(int(f.Fd()), &st))
		if st.Size != size+100 {
			t.Fatalf("fstat after stat: %d bytes, want %d", st.Size, size+100)
		}
	}
}
