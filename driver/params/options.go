package params

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// generic are the mount options that the kernel's VFS understands and that
// have nothing to do with 9P.
var generic = map[string]bool{
	"ro": true, "rw": true,
	"atime": true, "noatime": true, "relatime": true, "norelatime": true,
	"strictatime": true, "nostrictatime": true, "diratime": true, "nodiratime": true,
	"lazytime": true, "nolazytime": true,
	"dev": true, "nodev": true, "suid": true, "nosuid": true, "exec": true, "noexec": true,
	"sync": true, "async": true, "dirsync": true,
}

// SplitOptions separates mount options: key=value pairs, which are parameters,
// and the kernel's generic flags such as ro and noatime.
func SplitOptions(options []string) (values map[string]string, flags []string, err error) {
	values = make(map[string]string)
	for _, option := range options {
		name, value, pair := strings.Cut(option, "=")
		switch {
		case !pair && generic[option]:
			flags = append(flags, option)
		case !pair:
			return nil, nil, &Error{Key: option, Reason: "is neither a flag of mount(8) nor a parameter with a value (key=value)"}
		default:
			if other, dup := values[name]; dup && other != value {
				return nil, nil, &Error{Key: name, Value: value, Reason: fmt.Sprintf("is given twice, also as %q; keep one", other)}
			}
			values[name] = value
		}
	}
	return values, flags, nil
}

// Merge lays options, as SplitOptions reads them, over values. An option that
// says something else than values does is an error: neither is known to be the
// one that was meant.
func Merge(values map[string]string, options []string) (merged map[string]string, flags []string, err error) {
	over, flags, err := SplitOptions(options)
	if err != nil {
		return nil, nil, err
	}
	merged = make(map[string]string, len(values)+len(over))
	maps.Copy(merged, values)
	for _, given := range slices.Sorted(maps.Keys(over)) {
		k, err := lookup(given)
		if err != nil {
			return nil, nil, err
		}
		under, both := find(values, k.name)
		if both && !k.same(values[under], over[given]) {
			return nil, nil, &Error{Key: given, Value: over[given],
				Reason: fmt.Sprintf("the mount option contradicts the volume's %s=%q; keep one", under, values[under])}
		}
		if !both {
			merged[given] = over[given]
		}
	}
	return merged, flags, nil
}

// find returns the key of values that is name in whatever case.
func find(values map[string]string, name string) (string, bool) {
	for given := range values {
		if strings.EqualFold(given, name) {
			return given, true
		}
	}
	return "", false
}

// same reports whether two values of the parameter mean the same.
func (k *key) same(a, b string) bool {
	var p, q Parameters
	if k.set(&p, a) != nil || k.set(&q, b) != nil {
		return a == b
	}
	return k.get(&p) == k.get(&q)
}
