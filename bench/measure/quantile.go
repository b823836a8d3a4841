package measure

import "slices"

// Quantile is the value below which the q-th part of the values lies, q from 0 to 1, interpolated between neighbours;
// 0 for no values.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	position := q * float64(len(sorted)-1)
	below := int(position)
	if below+1 == len(sorted) {
		return sorted[below]
	}
	part := position - float64(below)
	return sorted[below]*(1-part) + sorted[below+1]*part
}
