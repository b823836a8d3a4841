package build

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKeyChangesWithWhatTheBuildReads(t *testing.T) {
	module := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(module, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module m")
	write("go.sum", "")
	write("cmd/main.go", "package main")
	write("lib/lib.go", "package lib")
	program := Program{Name: "p", Packages: []string{"./cmd"}, Sources: []string{"lib"}, Flags: "-s"}
	key := func() string {
		t.Helper()
		k, err := program.key(module)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	last := key()
	if len(last) != keyLength {
		t.Errorf("the key %q has not %d digits", last, keyLength)
	}
	for _, step := range []struct {
		what    string
		change  func()
		changes bool
	}{
		{"nothing", func() {}, false},
		{"a test", func() { write("cmd/main_test.go", "package main") }, false},
		{"another package", func() { write("other/other.go", "package other") }, false},
		{"a source", func() { write("cmd/main.go", "package main // changed") }, true},
		{"a source it depends on", func() { write("lib/lib.go", "package lib // changed") }, true},
		{"the name of a file", func() { write("cmd/more.go", "") }, true},
		{"a dependency's version", func() { write("go.mod", "module m // changed") }, true},
		{"a dependency's sum", func() { write("go.sum", "changed") }, true},
		{"the linker's flags", func() { program.Flags = "-s -w" }, true},
		{"the tags", func() { program.Tags = "seccomp" }, true},
	} {
		step.change()
		now := key()
		if (now != last) != step.changes {
			t.Errorf("after a change of %s the key is another: %v, want %v", step.what, now != last, step.changes)
		}
		last = now
	}
}
