package ninep

import (
	"math/bits"
	"slices"
)

// numbers hands out the lowest free number, for fids and for tags: servers keep tables indexed by them, and some
// bound the number itself (nfs-ganesha refuses a fid of 1024). The zero value has none in use. It is not safe for
// concurrent use.
type numbers struct {
	used []uint64 // one bit a number
	low  int      // every word of used before this one is full
}

// any reports whether a number is in use.
func (n *numbers) any() bool {
	return slices.ContainsFunc(n.used, func(word uint64) bool { return word != 0 })
}

// take returns the lowest free number if it is less than limit.
func (n *numbers) take(limit uint32) (uint32, bool) {
	for n.low < len(n.used) && ^n.used[n.low] == 0 {
		n.low++
	}
	v := uint32(n.low) * 64
	if n.low < len(n.used) {
		v += uint32(bits.TrailingZeros64(^n.used[n.low]))
	}
	if v >= limit {
		return 0, false
	}
	if n.low == len(n.used) {
		n.used = append(n.used, 0)
	}
	n.used[n.low] |= 1 << (v % 64)
	return v, true
}

// give makes a taken number free again.
func (n *numbers) give(v uint32) {
	n.used[v/64] &^= 1 << (v % 64)
	n.low = min(n.low, int(v/64))
}
