package fuse

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-1": 2, "0-3,8,10-11": 7} {
		if got, err := countCPUs(list); got != want || err != nil {
			t.Errorf("%q: %d, %v", list, got, err)
		}
	}
	for _, list := range []string{"", "-", "a", "3-1", "0-", "0,,1"} {
		if n, err := countCPUs(list); err == nil {
			t.Errorf("%q counts as %d", list, n)
		}
	}
}

func TestRingShape(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ maxWrite, cpus, payload, depth int }{
		{mib, 1, mib, 32}, {mib, 2, mib, 32}, {mib, 4, mib, 16}, {mib, 8, mib, 8}, {mib, 16, mib, 8},
		{mib, 17, mib / 2, 8}, {mib, 64, mib / 4, 8}, {mib, 128, mib / 8, 8}, {mib, 512, mib / 8, 8},
		{minReadBuffer, 2, minReadBuffer, 32}, {4 * mib, 2, 4 * mib, 8}, {132 << 10, 512, 128 << 10, 8},
	} {
		if payload, depth := ringShape(c.maxWrite, c.cpus); payload != c.payload || depth != c.depth {
			t.Errorf("%d bytes, %d CPUs: %d entries of %d bytes", c.maxWrite, c.cpus, depth, payload)
		}
	}
}

func TestIOURingFlag(t *testing.T) {
	for _, name := range []string{"off", "auto", "require"} {
		var u IOURing
		if err := u.Set(name); err != nil || u.String() != name {
			t.Errorf("%s became %s: %v", name, &u, err)
		}
	}
	var u IOURing
	if err := u.Set("on"); err == nil || !strings.Contains(err.Error(), u.Type()[:3]) {
		t.Errorf("on: %v", err)
	}
}

func TestRingErrorsSayWhatToDo(t *testing.T) {
	for errno, want := range map[unix.Errno]string{unix.EPERM: "seccomp", unix.ENOSYS: "io_uring_disabled", unix.ENOMEM: "memory"} {
		if err := explainRing(errno); !errors.Is(err, ErrNoIOURing) || !errors.Is(err, errno) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

// TestRingMemory: a range is seen in its entry's window until another is put there, and then by who took it alone.
func TestRingMemory(t *testing.T) {
	m, err := newRingMemory(minReadBuffer)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	l := &uringLoop{memory: m}
	l.users.Store(10)
	places, err := m.grow(l, 2)
	if err != nil {
		t.Fatal(err)
	}
	window, taken := places[0].window, places[0].payload
	copy(window, "request")
	if !bytes.HasPrefix(taken.Bytes(), []byte("request")) {
		t.Error("the range is not behind its window")
	}
	var got []*ringPayload
	for range 3 {
		m.get(func(p *ringPayload) { got = append(got, p) })
	}
	if len(got) != 2 {
		t.Fatalf("%d spare ranges", len(got))
	}
	if err := m.put(window, got[0]); err != nil {
		t.Fatal(err)
	}
	copy(window, "another")
	if !bytes.HasPrefix(taken.Bytes(), []byte("request")) || !bytes.HasPrefix(got[0].Bytes(), []byte("another")) {
		t.Errorf("the window shows %q, the taken range %q", got[0].Bytes()[:7], taken.Bytes()[:7])
	}
	taken.Release()
	if len(got) != 3 || got[2] != taken || taken.Bytes()[0] != 0 {
		t.Error("a range that came back was not passed on, empty, to who waited for it")
	}
}
