package build

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestKeyChangesWithWhatTheBuildReads(t *testing.T) {
	const main = "package main\n\nimport (\n\t_ \"embed\"\n\n\t_ \"m/lib\"\n)\n\n//go:embed text.txt\nvar text string\n"
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
	write("go.mod", "module m\n\ngo 1.26\n")
	write("go.sum", "")
	write("cmd/main.go", main)
	write("cmd/text.txt", "embedded")
	write("lib/lib.go", "package lib")
	write("extra/script", "")
	program := Program{Name: "p", Packages: []string{"./cmd"}, Extra: []string{"extra"}, Flags: "-s"}
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
		{"a source", func() { write("cmd/main.go", main+"// changed") }, true},
		{"a source it depends on", func() { write("lib/lib.go", "package lib // changed") }, true},
		{"what it embeds", func() { write("cmd/text.txt", "changed") }, true},
		{"a file more", func() { write("cmd/more.go", "package main") }, true},
		{"what else it reads", func() { write("extra/script", "changed") }, true},
		{"a dependency's version", func() { write("go.mod", "module m // changed\n\ngo 1.26\n") }, true},
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

// A program is built anew when any package of its module changes that it depends on, and not when others do.
func TestSources(t *testing.T) {
	sources, err := DriverProgram.sources(filepath.Join("..", DriverProgram.Module))
	if err != nil {
		t.Fatal(err)
	}
	for path, reads := range map[string]bool{
		"cmd/csi-9p/main.go": true, "doctor/doctor.go": true, "node/fuse/doc.go": true, "doctor/server_test.go": false, "test/demo/main.go": false,
	} {
		if _, err := os.Stat(filepath.Join("..", DriverProgram.Module, path)); err != nil {
			t.Error(err)
		}
		if slices.Contains(sources, path) != reads {
			t.Errorf("the driver's sources have %s: %v, want %v", path, !reads, reads)
		}
	}
}
