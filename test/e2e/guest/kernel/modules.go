package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Modules is what a kernel has of modules.
type Modules struct {
	needs   map[string][]string // the paths of a module's dependencies, by its own path
	paths   map[string]string   // by name
	builtin map[string]bool     // names of those that the kernel has in itself
}

// ErrNoModule says that a kernel has not got a module.
var ErrNoModule = errors.New("the kernel has no such module")

// nameOf is the name by which a module is known, whose file or name is given.
func nameOf(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// readModules reads modules.dep and modules.builtin, in the forms that modules.dep(5) tells of.
func readModules(dep, builtin io.Reader) (*Modules, error) {
	m := &Modules{needs: map[string][]string{}, paths: map[string]string{}, builtin: map[string]bool{}}
	lines := bufio.NewScanner(dep)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		file, needs, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			return nil, fmt.Errorf("modules.dep: no colon in %q", lines.Text())
		}
		m.needs[file] = strings.Fields(needs)
		m.paths[nameOf(file)] = file
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	lines = bufio.NewScanner(builtin)
	for lines.Scan() {
		m.builtin[nameOf(lines.Text())] = true
	}
	return m, lines.Err()
}

// loadModules reads what depmod has written to a directory of modules.
func loadModules(dir string) (*Modules, error) {
	dep, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	defer dep.Close()
	builtin, err := os.Open(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	defer builtin.Close()
	return readModules(dep, builtin)
}

// Order returns the files of the modules named and of all that they need, each after what it needs, relative to the
// directory of modules. What the kernel has in itself needs no file.
func (m *Modules) Order(names ...string) ([]string, error) {
	var order []string
	for _, name := range names {
		name = nameOf(name)
		if m.builtin[name] {
			continue
		}
		file, ok := m.paths[name]
		if !ok {
			return nil, fmt.Errorf("%w: %s", ErrNoModule, name)
		}
		order = m.add(order, file)
	}
	return order, nil
}

func (m *Modules) add(order []string, file string) []string {
	if slices.Contains(order, file) {
		return order
	}
	for _, need := range m.needs[file] {
		if need != file {
			order = m.add(order, need)
		}
	}
	return append(order, file)
}
