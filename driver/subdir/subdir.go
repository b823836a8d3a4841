// Package subdir names a volume's directory inside its share: templates, and
// the components that a path consists of. A path is never handed to a server
// as a string: every component is checked here and walked on its own.
package subdir

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is wrapped by every error of this package.
var ErrInvalid = errors.New("invalid directory")

// Reserved is the directory at the top of a share that belongs to the driver.
const Reserved = ".csi-9p"

const (
	maxComponent = 255 // NAME_MAX of Linux, in bytes
	maxPath      = 1024
	maxDepth     = 32
)

// Names are what Kubernetes told about a volume; empty where it did not.
type Names struct{ PV, PVC, PVCNamespace string }

// Check reports whether components can be the place of a volume: at least one,
// each a plain name, the first one not the driver's own. It is meant for
// outside input.
func Check(components []string) error {
	if len(components) == 0 {
		return fmt.Errorf("%w: it is empty, and a volume needs a directory of its own", ErrInvalid)
	}
	if len(components) > maxDepth {
		return fmt.Errorf("%w: %d levels are more than %d", ErrInvalid, len(components), maxDepth)
	}
	total := 0
	for _, name := range components {
		if err := CheckName(name); err != nil {
			return err
		}
		total += len(name) + 1
	}
	if total > maxPath {
		return fmt.Errorf("%w: %d bytes are more than %d", ErrInvalid, total, maxPath)
	}
	if strings.HasPrefix(components[0], Reserved) {
		return fmt.Errorf("%w: names that start with %s belong to the driver", ErrInvalid, Reserved)
	}
	return nil
}

// CheckName reports whether name can be one component.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it has an empty component", ErrInvalid)
	case name == "." || name == "..":
		return fmt.Errorf("%w: the component %q is not a name", ErrInvalid, name)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: the component %q has a '/' or a NUL in it", ErrInvalid, name)
	case len(name) > maxComponent:
		return fmt.Errorf("%w: the component %.20q... is %d bytes long, more than %d", ErrInvalid, name, len(name), maxComponent)
	}
	return nil
}

// Split takes a path apart and checks it. One '/' at the start and one at the
// end are forgiven.
func Split(path string) ([]string, error) {
	components := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	if err := Check(components); err != nil {
		return nil, err
	}
	return components, nil
}

// Join makes the path that Split takes apart.
func Join(components []string) string { return strings.Join(components, "/") }
