package subdir

import (
	"fmt"
	"strings"
)

// variable is a name that a template may use.
type variable struct {
	name string
	of   func(Names) string
}

var variables = []variable{
	{"pv.metadata.name", func(n Names) string { return n.PV }},
	{"pvc.metadata.name", func(n Names) string { return n.PVC }},
	{"pvc.metadata.namespace", func(n Names) string { return n.PVCNamespace }},
}

// IsTemplate reports whether path needs Expand.
func IsTemplate(path string) bool { return strings.Contains(path, "${") }

// CheckTemplate reports whether a template uses only names that exist.
func CheckTemplate(template string) error {
	path, err := expand(template, func(variable) (string, error) { return "x", nil })
	if err != nil {
		return err
	}
	_, err = Split(path)
	return err
}

// Expand fills names into template and takes the path apart. A name that
// Kubernetes did not tell is an error, as is one that would add a level.
func Expand(template string, names Names) ([]string, error) {
	path, err := expand(template, func(v variable) (string, error) {
		value := v.of(names)
		if value == "" {
			return "", fmt.Errorf("%w: ${%s} is not known; run csi-provisioner with --extra-create-metadata", ErrInvalid, v.name)
		}
		if err := CheckName(value); err != nil {
			return "", fmt.Errorf("${%s}: %w", v.name, err)
		}
		if IsTemplate(value) {
			return "", fmt.Errorf("%w: ${%s} is %q, which would be a template itself", ErrInvalid, v.name, value)
		}
		return value, nil
	})
	if err != nil {
		return nil, err
	}
	return Split(path)
}

// expand replaces each ${name} of template by what value answers.
func expand(template string, value func(variable) (string, error)) (string, error) {
	var out strings.Builder
	for rest := template; ; {
		before, after, found := strings.Cut(rest, "${")
		out.WriteString(before)
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("%w: %q has a ${ without its }", ErrInvalid, template)
		}
		v, err := find(name)
		if err != nil {
			return "", err
		}
		filled, err := value(v)
		if err != nil {
			return "", err
		}
		out.WriteString(filled)
		rest = tail
	}
	return out.String(), nil
}

func find(name string) (variable, error) {
	known := make([]string, 0, len(variables))
	for _, v := range variables {
		if v.name == name {
			return v, nil
		}
		known = append(known, "${"+v.name+"}")
	}
	return variable{}, fmt.Errorf("%w: ${%s} is not known; use %s", ErrInvalid, name, strings.Join(known, ", "))
}
