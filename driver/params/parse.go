package params

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Prefixes of keys that belong to Kubernetes: the metadata that
// external-provisioner adds with --extra-create-metadata, the pod that kubelet
// adds with podInfoOnMount, and the identity that external-provisioner leaves
// in every PersistentVolume it makes.
const (
	kubernetesPrefix  = "csi.storage.k8s.io/"
	provisionerPrefix = "storage.kubernetes.io/"
)

// Parse reads the parameters in values. Keys that belong to Kubernetes are
// passed over; see ParseMetadata.
func Parse(values map[string]string) (Parameters, error) {
	p := Defaults()
	if given, set := find(values, "engine"); set && strings.EqualFold(values[given], string(EngineKernel)) {
		p.Engine = EngineKernel
		p.engineDefaults()
	}
	seen := make(map[string]string, len(values))
	for _, given := range slices.Sorted(maps.Keys(values)) {
		if strings.HasPrefix(given, kubernetesPrefix) || strings.HasPrefix(given, provisionerPrefix) {
			continue
		}
		k, err := lookup(given)
		if err != nil {
			return Parameters{}, err
		}
		if other, dup := seen[k.name]; dup {
			return Parameters{}, &Error{Key: given, Reason: fmt.Sprintf("is given twice, also as %s; keep one", other)}
		}
		seen[k.name] = given
		if err := k.set(&p, values[given]); err != nil {
			return Parameters{}, &Error{Key: given, Value: values[given], Reason: err.Error()}
		}
	}
	if err := p.checkRoad(seen); err != nil {
		return Parameters{}, err
	}
	if err := p.checkEngine(seen); err != nil {
		return Parameters{}, err
	}
	return p, nil
}

// Values returns what Parse would read p from: canonical keys, and only those
// that differ from their default.
func (p Parameters) Values() map[string]string {
	values := make(map[string]string)
	defaults := Defaults()
	if p.Engine == EngineKernel {
		values["engine"] = string(EngineKernel)
		defaults.Engine = EngineKernel
		defaults.engineDefaults()
	}
	for _, k := range keys {
		if v := k.get(&p); v != k.get(&defaults) {
			values[k.name] = v
		}
	}
	return values
}

// lookup finds the parameter that given names in whatever case.
func lookup(given string) (*key, error) {
	for i := range keys {
		if strings.EqualFold(keys[i].name, given) {
			return &keys[i], nil
		}
	}
	return nil, &Error{Key: given, Reason: "is not known; " + suggest(given)}
}

// suggest names the known parameter with the least edit distance to given, or
// all of them where none comes near.
func suggest(given string) string {
	given = strings.ToLower(given)
	best, least := "", len(given)/2+1
	var all []string
	for _, k := range keys {
		if d := distance(given, strings.ToLower(k.name)); d < least {
			best, least = k.name, d
		}
		all = append(all, k.name)
	}
	if best == "" {
		return "there are " + strings.Join(all, ", ")
	}
	return "did you mean " + best + "?"
}

// distance is the Levenshtein distance of a and b, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
