// Package rangelock keeps the advisory byte-range locks of one file by the rules of fcntl(2): an owner's new lock replaces what
// it held of the range, ranges of one owner and kind merge, and giving back a part splits a lock. It only keeps the books:
// waiting is the caller's.
package rangelock

import (
	"cmp"
	"math"
	"slices"
)

// Kind says what a lock keeps out.
type Kind uint8

// Read locks keep out writers, Write locks everyone else.
const (
	Read Kind = iota
	Write
)

// End is the last byte that a lock can cover: a lock to it covers the file however far it grows.
const End uint64 = math.MaxInt64

// Lock is a lock on the bytes First to Last, both included.
type Lock[O comparable] struct {
	Owner       O
	Kind        Kind
	First, Last uint64
	PID         uint32 // whom F_GETLK names; no part of the owner
}

func (l Lock[O]) overlaps(first, last uint64) bool { return l.First <= last && first <= l.Last }

// Set is the locks on one file. The zero Set is empty. It is not safe for concurrent use.
type Set[O comparable] struct {
	locks []Lock[O] // sorted by First; those of one owner do not overlap
}

// Empty reports whether nobody holds anything.
func (s *Set[O]) Empty() bool { return len(s.locks) == 0 }

// Conflicts returns the locks that keep want from being granted, lowest range first.
func (s *Set[O]) Conflicts(want Lock[O]) []Lock[O] {
	var in []Lock[O]
	for _, l := range s.locks {
		if l.Owner != want.Owner && (l.Kind == Write || want.Kind == Write) && l.overlaps(want.First, want.Last) {
			in = append(in, l)
		}
	}
	return in
}

// Grant gives a lock that has no conflicts, and takes from its owner what it held of the range before.
func (s *Set[O]) Grant(l Lock[O]) {
	s.Release(l.Owner, l.First, l.Last)
	s.locks = slices.DeleteFunc(s.locks, func(o Lock[O]) bool {
		if o.Owner != l.Owner || o.Kind != l.Kind || !touches(o, l) {
			return false
		}
		l.First, l.Last = min(l.First, o.First), max(l.Last, o.Last)
		return true
	})
	s.insert(l)
}

// Release takes from an owner what it holds of a range, and reports whether that was anything.
func (s *Set[O]) Release(owner O, first, last uint64) bool {
	var rest []Lock[O]
	before := len(s.locks)
	s.locks = slices.DeleteFunc(s.locks, func(l Lock[O]) bool {
		if l.Owner != owner || !l.overlaps(first, last) {
			return false
		}
		if l.First < first {
			head := l
			head.Last = first - 1
			rest = append(rest, head)
		}
		if l.Last > last {
			tail := l
			tail.First = last + 1
			rest = append(rest, tail)
		}
		return true
	})
	took := len(s.locks) < before
	for _, l := range rest {
		s.insert(l)
	}
	return took
}

// ReleaseIf takes everything from the owners that match.
func (s *Set[O]) ReleaseIf(match func(O) bool) {
	s.locks = slices.DeleteFunc(s.locks, func(l Lock[O]) bool { return match(l.Owner) })
}

// Held returns what an owner holds of a range, cut to it, lowest first.
func (s *Set[O]) Held(owner O, first, last uint64) []Lock[O] {
	var held []Lock[O]
	for _, l := range s.locks {
		if l.Owner == owner && l.overlaps(first, last) {
			l.First, l.Last = max(l.First, first), min(l.Last, last)
			held = append(held, l)
		}
	}
	return held
}

// touches reports whether two ranges overlap or lie side by side.
func touches[O comparable](a, b Lock[O]) bool {
	return (a.First <= b.Last || a.First-1 == b.Last) && (b.First <= a.Last || b.First-1 == a.Last)
}

func (s *Set[O]) insert(l Lock[O]) {
	i, _ := slices.BinarySearchFunc(s.locks, l, func(a, b Lock[O]) int { return cmp.Compare(a.First, b.First) })
	s.locks = slices.Insert(s.locks, i, l)
}
