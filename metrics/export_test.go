package metrics

import "slices"

// Definition is what tests see of a definition.
type Definition struct {
	Name, Kind, Help string
	Labels           []string
}

// Definitions are all metrics that this package makes of snapshots.
func Definitions() []Definition {
	var all []Definition
	for _, d := range slices.Concat(sessionDefinitions, volumeDefinitions, nodeDefinitions, exporterDefinitions) {
		all = append(all, Definition{d.name, string(d.kind), d.help, d.labels})
	}
	return all
}

// Broken collects a sample whose label Prometheus does not take.
func Broken() *collector {
	return &collector{nodeDefinitions, func(to sink) { value(to, nodeMounts, 1, "\xff") }}
}
