package ninefs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/ninefs"
)

// TestTaste: who lists names alone does not have the server asked for attributes of files again and again; who looks at files has them
// with the next directories that are listed.
func TestTaste(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	const dirs, files = 10, 20 // which fit into one answer
	for d := range dirs {
		check(t, os.Mkdir(filepath.Join(s.root, fmt.Sprint(d)), 0o755))
		for f := range files {
			write(t, filepath.Join(s.root, fmt.Sprintf("%d/%d", d, f)), "content")
		}
	}
	m := mount(t, s, func(o *ninefs.Options) { o.AttrTimeout = time.Hour })
	list := func(d int) {
		t.Helper()
		if entries, err := os.ReadDir(m.path(fmt.Sprint(d))); err != nil || len(entries) != files {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
	}
	stat(t, m.dir)
	d := 0
	for ; ; d++ { // what is wanted is forgotten in time, on a slow machine between two listings
		asked := m.messages()
		list(d)
		got := asked()
		if got["Tgetattr"] <= 1 { // the directory's own
			break
		}
		if d == dirs-2 {
			t.Fatalf("names alone: %v", got)
		}
	}
	stat(t, m.path(fmt.Sprintf("%d/0", d)))
	list(d + 1)
	asked := m.messages()
	for f := range files {
		stat(t, m.path(fmt.Sprintf("%d/%d", d+1, f)))
	}
	if got := asked(); got["Tgetattr"] > 1 { // one is left out now and then
		t.Errorf("attributes of what was listed: %v", got)
	}
}
