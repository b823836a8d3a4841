package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
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
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := addFile(h, filepath.Join(module, p.Module, name)); err != nil {
			return "", err
		}
	}
	sources := slices.Clone(p.Sources)
	for _, pkg := range p.Packages {
		if dir, local := strings.CutPrefix(pkg, "./"); local {
			sources = append(sources, dir)
		}
	}
	for _, dir := range sources {
		if err := addSources(h, filepath.Join(module, p.Module, dir)); err != nil {
			return "", err
		}
	}
	return sum(h), nil
}

// addSources adds every file in and beneath dir that a build may read, tests excepted.
func addSources(h hash.Hash, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		return addFile(h, path)
	})
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
