package mount_test

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/test/lab"
)

// attrLifetime is longer than attributes and names are believed (attrTimeout).
const attrLifetime = 5 * time.Second

// TestCloseToOpen: what one mount closes, another sees on its next open. All of
// it happens within moments, so that times of whole seconds tell nothing, and
// on diod qid.version tells nothing either.
func TestCloseToOpen(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		a, b := lab.Mount(t, server.URL).Dir, lab.Mount(t, server.URL).Dir
		for name, rounds := range map[string]func(t *testing.T, a, b string){
			"same-size": sameSize, "stat-in-between": statBetween, "sizes-change": sizesChange,
			"both-write": bothWrite, "new-names-at-once": newNames, "gone-names": goneNames,
			"held-open": heldOpen, "directories": directories,
		} {
			t.Run(name, func(t *testing.T) { rounds(t, filepath.Join(a, name), filepath.Join(b, name)) })
		}
	})
}

var errThere = errors.New("it is still there")

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sees fails unless the file holds exactly the content.
func sees(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("%s: %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}

func sameSize(t *testing.T, a, b string) {
	for round := range 200 {
		want := strings.Repeat(fmt.Sprintf("%06d\n", round), 3000)
		put(t, a, want)
		sees(t, b, want)
	}
}

// statBetween has the reader cache the old size just before.
func statBetween(t *testing.T, a, b string) {
	put(t, a, "old")
	for round := range 100 {
		if _, err := os.Stat(b); err != nil {
			t.Fatal(err)
		}
		want := strings.Repeat("x", round*17%400) + fmt.Sprint(round)
		put(t, a, want)
		sees(t, b, want)
	}
}

func sizesChange(t *testing.T, a, b string) {
	for round := range 60 {
		want := strings.Repeat(fmt.Sprint(round), (round*7919)%50000+1)
		put(t, a, want)
		sees(t, b, want)
		if err := os.Truncate(a, int64(len(want)/2)); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil || info.Size() != int64(len(want)/2) {
			t.Fatalf("fstat after open: %v, %v, want %d bytes", info.Size(), err, len(want)/2)
		}
		f.Close()
		sees(t, b, want[:len(want)/2])
	}
}

func bothWrite(t *testing.T, a, b string) {
	put(t, a, "")
	want := ""
	for round := range 100 {
		path := a
		if round%2 == 1 {
			path = b
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("line %d\n", round)
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		want += line
	}
	sees(t, a, want)
	sees(t, b, want)
}

// newNames: a name that was missing a moment ago is not believed to be.
func newNames(t *testing.T, a, b string) {
	for round := range 50 {
		name := fmt.Sprint(round)
		if _, err := os.Stat(b + name); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("before it is made: %v", err)
		}
		put(t, a+name, name)
		sees(t, b+name, name)
	}
}

func goneNames(t *testing.T, a, b string) {
	put(t, a, "data")
	sees(t, b, "data")
	if err := os.Rename(a, a+"-new"); err != nil {
		t.Fatal(err)
	}
	sees(t, b+"-new", "data")
	lab.Eventually(t, attrLifetime, func() error {
		if _, err := os.Stat(b); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the old name: %w", cmp.Or(err, errThere))
		}
		return nil
	})
	put(t, a, "another")
	sees(t, b, "another")
	// Replaced by rename, as editors and kubelets do: the next open may find the old file until the name expires.
	put(t, a+"-tmp", "replaced")
	if err := os.Rename(a+"-tmp", a); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, attrLifetime, func() error {
		got, err := os.ReadFile(b)
		if err == nil && string(got) != "replaced" {
			return fmt.Errorf("after a rename over it: %q", got)
		}
		return err
	})
}

// heldOpen: another's open refreshes what was read through an older handle.
func heldOpen(t *testing.T, a, b string) {
	put(t, a, "first")
	held, err := os.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	buf := make([]byte, 100)
	if n, _ := held.ReadAt(buf, 0); string(buf[:n]) != "first" {
		t.Fatalf("read %q", buf[:n])
	}
	put(t, a, "second one")
	sees(t, b, "second one")
	if n, _ := held.ReadAt(buf, 0); string(buf[:n]) != "second one" {
		t.Errorf("the older handle reads %q", buf[:n])
	}
}

func directories(t *testing.T, a, b string) {
	if err := os.Mkdir(a, 0o755); err != nil {
		t.Fatal(err)
	}
	for round := range 30 {
		put(t, fmt.Sprintf("%s/%03d", a, round), "x")
		entries, err := os.ReadDir(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != round+1 {
			t.Fatalf("%d entries, want %d", len(entries), round+1)
		}
	}
	if err := os.RemoveAll(a); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, attrLifetime, func() error {
		if _, err := os.ReadDir(b); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("a removed directory: %w", cmp.Or(err, errThere))
		}
		return nil
	})
}
