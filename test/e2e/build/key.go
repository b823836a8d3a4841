package build

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// keyLength is the number of hexadecimal digits of a key.
const keyLength = 16

// key is a digest of what decides the outcome of a build: the compiler, the command line, the pinned dependencies and
// the sources that belong to this module.
func (p Program) key(module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH, p)
	sources, err := p.sources(filepath.Join(module, p.Module))
	if err != nil {
		return "", err
	}
	for _, path := range append(sources, "go.mod", "go.sum") {
		if err := addFile(h, filepath.Join(module, p.Module, path)); err != nil {
			return "", err
		}
	}
	return sum(h), nil
}

// sources are the files in and beneath the module's directory dir that a build of p reads, relative to it.
func (p Program) sources(dir string) ([]string, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	files, err := p.compiled(root)
	if err != nil {
		return nil, err
	}
	for _, extra := range p.Extra {
		err := filepath.WalkDir(filepath.Join(root, extra), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasSuffix(path, "_test.go") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for i, path := range files {
		if files[i], err = filepath.Rel(root, path); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// compiled are the files of this module that go into p's packages: their own, those of the packages that they depend on, and what these
// embed. Other modules' are what go.sum says.
func (p Program) compiled(root string) ([]string, error) {
	const list = `{{if and .Module .Module.Main}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}
{{end}}{{range .SFiles}}{{$dir}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}
{{end}}{{end}}`
	args := []string{"list", "-deps", "-tags", p.Tags, "-f", list}
	packages := len(args)
	for _, pkg := range p.Packages {
		if strings.HasPrefix(pkg, "./") {
			args = append(args, pkg)
		}
	}
	if len(args) == packages {
		return nil, nil
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = root, p.environ()
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr(err))
	}
	return slices.Collect(strings.FieldsFuncSeq(string(out), func(r rune) bool { return r == '\n' })), nil
}

// stderr is what a command said that failed.
func stderr(err error) []byte {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.Stderr
	}
	return nil
}

func addFile(h hash.Hash, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintln(h, filepath.Base(path))
	_, err = io.Copy(h, f)
	return err
}

// keyOf is a digest of what is given.
func keyOf(content []byte) string {
	h := sha256.New()
	h.Write(content)
	return sum(h)
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil))[:keyLength] }
