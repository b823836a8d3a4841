package ninetest

import (
	"math/rand/v2"
	"slices"
	"strconv"
)

// random is n bytes that only depend on the seed.
func random(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, seed))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func itoa(n int) string { return strconv.Itoa(n) }

// sorted is a sorted copy.
func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }
