package ninefs

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// The kernel begins every listing with READDIRPLUS (fuse_use_readdirplus of fs/fuse/readdir.c), and attributes cost the server two
// messages an entry, which is most of what find(1) waits for and of no use to it. Nor does the kernel tell whether they were:
// it asks for nothing that it was told. So now and then one entry is told without, and if nobody looks that up before the next
// listing begins, attributes are left out until somebody looks entries up again. Those of directories never are: whoever walks a
// tree goes there next.

const (
	// sated is how many listings attributes are told in before it is found out again whether they are wanted.
	sated = 16
	// freshTaste is how long a taste lasts without a listing.
	freshTaste = time.Second
)

// taste is what those who list directories want to know. It is safe for concurrent use.
type taste struct {
	// withheld is the node id of the directory that was last listed with something left out; 0: what was wanted of it is known.
	withheld atomic.Uint64

	mu    sync.Mutex
	plain bool      // attributes are not wanted
	left  int       // listings until it is found out again that they are
	last  time.Time // when a listing began
	name  string    // the entry of withheld that was left out; "": all were
}

// telling is one listing, or the rest of one.
type telling struct {
	taste *taste
	dir   uint64
	omit  omission
}

// omission is what is told without attributes, directories excepted.
type omission int

const (
	omitNone omission = iota
	omitOne
	omitAll
)

// listing begins one of a directory, at an offset.
func (t *taste) listing(dir, offset uint64) *telling {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := &telling{taste: t, dir: dir}
	if offset == 0 {
		if t.withheld.Swap(0) != 0 {
			t.plain = true // nobody has looked it up
		}
		now := time.Now()
		if now.Sub(t.last) > freshTaste {
			t.plain, t.left = false, 0
		}
		t.last = now
		if t.left--; t.left < 0 {
			t.left, l.omit = sated, omitOne
		}
	}
	if t.plain {
		l.omit = omitAll
	}
	return l
}

// tells reports whether an entry is to be told with its attributes.
func (l *telling) tells(d fuse.Dirent) bool {
	switch {
	case d.Name == "." || d.Name == "..":
		return false
	case l.omit == omitNone, d.Type == unix.DT_DIR, d.Type == unix.DT_UNKNOWN:
		return true
	}
	t := l.taste
	t.mu.Lock()
	defer t.mu.Unlock()
	t.name = ""
	if l.omit == omitOne {
		t.name, l.omit = d.Name, omitNone
	}
	t.withheld.Store(l.dir)
	return false
}

// lookedUp is told of an entry that somebody has looked up.
func (t *taste) lookedUp(dir uint64, name []byte, format uint32) {
	if t.withheld.Load() != dir || format&unix.S_IFMT == unix.S_IFDIR {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.name == "" || t.name == string(name) {
		t.withheld.Store(0)
		t.plain, t.left = false, sated
	}
}
