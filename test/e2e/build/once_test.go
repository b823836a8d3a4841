package build

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const testKey = "0123456789abcdef"

func TestOnceFillsOnce(t *testing.T) {
	b := &Builder{Cache: t.TempDir(), Output: io.Discard}
	var filled atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			dir, err := b.once("bin", "p", testKey, func(dir string) error {
				filled.Add(1)
				return os.WriteFile(filepath.Join(dir, "program"), nil, 0o755)
			})
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "program")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := filled.Load(); n != 1 {
		t.Errorf("it was built %d times", n)
	}
}

func TestOnceKeepsNothingOfAFailure(t *testing.T) {
	b := &Builder{Cache: t.TempDir(), Output: io.Discard}
	failure := errors.New("no compiler")
	_, err := b.once("bin", "p", testKey, func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o755), failure)
	})
	if !errors.Is(err, failure) {
		t.Fatalf("got the error %v", err)
	}
	dir, err := b.once("bin", "p", testKey, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("the directory of the failed build is used: %v", entries)
	}
}

func TestPruneRemovesWhatIsNotUsed(t *testing.T) {
	parent := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"p-0000000000000000", "p-1111111111111111", "pq-0000000000000000", "p-q-0000000000000000"} {
		dir := filepath.Join(parent, name)
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Chtimes(dir, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if !used(filepath.Join(parent, "p-1111111111111111")) {
		t.Fatal("a directory that is there is not")
	}
	if err := prune(parent, "p", time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(parent, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 3 || filepath.Base(left[0]) != "p-1111111111111111" {
		t.Errorf("left are %v", left)
	}
}

func TestOnceKeepsWhatSeemsOld(t *testing.T) {
	b := &Builder{Cache: t.TempDir(), Output: io.Discard}
	dir, err := b.once("packages", "p", testKey, func(dir string) error {
		year := time.Now().AddDate(-1, 0, 0)
		return os.Chtimes(dir, year, year) // as unpacking an archive may do
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}
