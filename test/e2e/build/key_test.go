package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// A program is built anew when any package of its module changes that it depends on.
func TestSourcesAreComplete(t *testing.T) {
	for _, p := range []Program{DriverProgram, ExternalSuite, populator, standins, workload} {
		dir, err := filepath.Abs(filepath.Join("..", p.Module))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", append([]string{"list", "-deps", "-f", "{{if and .Module .Module.Main}}{{.Dir}}{{end}}"}, p.Packages...)...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		for pkg := range strings.FieldsSeq(string(out)) {
			if !p.reads(strings.TrimPrefix(pkg, dir+"/")) {
				t.Errorf("%s depends on %s, which is not among its sources", p.Name, pkg)
			}
		}
	}
}

// reads reports whether the key of the program has what is in a directory of its module.
func (p Program) reads(dir string) bool {
	for _, source := range slices.Concat(p.Packages, p.Sources) {
		source = strings.TrimPrefix(source, "./")
		if dir == source || strings.HasPrefix(dir, source+"/") {
			return true
		}
	}
	return false
}
