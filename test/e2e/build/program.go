// Package build makes what a cluster of the lab runs, from the modules that go.mod pins: programs, and the images of
// containers. What it made is kept in a cache, under a name that is a digest of all that went in, so that a second
// start builds nothing.
package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Builder builds into a cache. Several processes may use one cache at the same time.
type Builder struct {
	Cache  string    // directory of what was built
	Module string    // directory of this Go module, test/e2e
	Output io.Writer // says what is being built, when it is
}

// Program is a set of commands that are built by one call of the Go command.
type Program struct {
	Name     string   // of the set
	Module   string   // directory of the Go module that pins its dependencies, relative to test/e2e
	Packages []string // import paths of the commands, or ./directories
	Extra    []string // directories of the module that the outcome depends on, besides the packages and theirs
	Tags     string
	Flags    string // of the linker
	Cgo      bool
}

// Build builds the commands of p, unless the cache has them, and returns the directory that holds them, each under the
// last element of its import path.
func (b *Builder) Build(ctx context.Context, p Program) (string, error) {
	key, err := p.key(b.Module)
	if err != nil {
		return "", fmt.Errorf("building %s: %w", p.Name, err)
	}
	return b.once("bin", p.Name, key, func(dir string) error {
		return b.compile(ctx, p, dir)
	})
}

func (b *Builder) compile(ctx context.Context, p Program, dir string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", dir + "/", "-tags", p.Tags, "-ldflags", p.Flags}
	cmd := exec.CommandContext(ctx, "go", append(args, p.Packages...)...)
	cmd.Dir = filepath.Join(b.Module, p.Module)
	cmd.Env = p.environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// environ is the environment that the Go command builds p in.
func (p Program) environ() []string {
	cgo := "CGO_ENABLED=0"
	if p.Cgo {
		cgo = "CGO_ENABLED=1"
	}
	return append(os.Environ(), cgo, "GOWORK=off")
}

// once returns the directory of the cache that was made by fill for this kind, name and key, calling fill if there is
// none yet. Of the directories of one name it keeps those that were used within the last week.
func (b *Builder) once(kind, name, key string, fill func(dir string) error) (string, error) {
	parent := filepath.Join(b.Cache, kind)
	dir := filepath.Join(parent, name+"-"+key)
	if used(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(parent, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if used(dir) {
		return dir, nil
	}
	started := time.Now()
	fmt.Fprintf(b.Output, "build: %s ...\n", name)
	unfinished := dir + ".unfinished"
	if err := errors.Join(os.RemoveAll(unfinished), os.Mkdir(unfinished, 0o755)); err != nil {
		return "", err
	}
	defer os.RemoveAll(unfinished)
	if err := fill(unfinished); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	used(unfinished) // fill may have given it another time
	fmt.Fprintf(b.Output, "build: %s took %s\n", name, time.Since(started).Round(time.Second/10))
	return dir, errors.Join(os.Rename(unfinished, dir), prune(parent, name, time.Now().Add(-7*24*time.Hour)))
}

// used reports whether dir is there, and notes its use.
func used(dir string) bool {
	now := time.Now()
	return os.Chtimes(dir, now, now) == nil
}

// prune removes what was built under the name and not used since.
func prune(parent, name string, since time.Time) error {
	const digits = keyLength
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || len(e.Name()) != len(name)+1+digits || e.Name()[:len(name)+1] != name+"-" {
			continue
		}
		if info.ModTime().Before(since) {
			err = os.RemoveAll(filepath.Join(parent, e.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lock waits for the lock on a file, which unlock gives back.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

func (p Program) String() string {
	s, _ := json.Marshal(p)
	return string(s)
}
