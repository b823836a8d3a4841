package rangelock_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/csi-9p/csi-9p/node/ninefs/rangelock"
)

const (
	rd = rangelock.Read
	wr = rangelock.Write
)

type lock = rangelock.Lock[string]

func lk(owner string, kind rangelock.Kind, first, last uint64) lock {
	return lock{Owner: owner, Kind: kind, First: first, Last: last}
}

func TestGrantMergesReplacesAndSplits(t *testing.T) {
	for _, c := range []struct {
		name  string
		grant []lock
		want  []lock
	}{
		{"side by side", []lock{lk("a", rd, 0, 9), lk("a", rd, 10, 19)}, []lock{lk("a", rd, 0, 19)}},
		{"side by side, backwards", []lock{lk("a", rd, 10, 19), lk("a", rd, 0, 9)}, []lock{lk("a", rd, 0, 19)}},
		{"a gap of one byte", []lock{lk("a", rd, 0, 8), lk("a", rd, 10, 19)}, []lock{lk("a", rd, 0, 8), lk("a", rd, 10, 19)}},
		{"overlapping", []lock{lk("a", wr, 5, 15), lk("a", wr, 0, 9)}, []lock{lk("a", wr, 0, 15)}},
		{"filling a gap", []lock{lk("a", rd, 0, 3), lk("a", rd, 8, 9), lk("a", rd, 4, 7)}, []lock{lk("a", rd, 0, 9)}},
		{"upgrade of the middle", []lock{lk("a", rd, 0, 9), lk("a", wr, 3, 5)},
			[]lock{lk("a", rd, 0, 2), lk("a", wr, 3, 5), lk("a", rd, 6, 9)}},
		{"downgrade that merges", []lock{lk("a", rd, 0, 4), lk("a", wr, 5, 9), lk("a", rd, 5, 9)}, []lock{lk("a", rd, 0, 9)}},
		{"to the end", []lock{lk("a", wr, 7, rangelock.End), lk("a", wr, 0, 6)}, []lock{lk("a", wr, 0, rangelock.End)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s rangelock.Set[string]
			for _, l := range c.grant {
				s.Grant(l)
			}
			if got := s.Held("a", 0, rangelock.End); !reflect.DeepEqual(got, c.want) {
				t.Errorf("held %v, want %v", got, c.want)
			}
		})
	}
}

func TestReleaseSplits(t *testing.T) {
	var s rangelock.Set[string]
	s.Grant(lk("a", wr, 10, 19))
	s.Grant(lk("b", rd, 30, 39))
	if s.Release("b", 10, 19) {
		t.Error("gave back what another owner holds")
	}
	if !s.Release("a", 13, 15) {
		t.Error("gave back nothing of a held range")
	}
	want := []lock{lk("a", wr, 10, 12), lk("a", wr, 16, 19)}
	if got := s.Held("a", 0, rangelock.End); !reflect.DeepEqual(got, want) {
		t.Errorf("held %v, want %v", got, want)
	}
	if got := s.Held("a", 11, 17); !reflect.DeepEqual(got, []lock{lk("a", wr, 11, 12), lk("a", wr, 16, 17)}) {
		t.Errorf("held of 11-17: %v", got)
	}
	s.Release("a", 0, rangelock.End)
	s.Release("b", 0, rangelock.End)
	if !s.Empty() {
		t.Error("not empty after all was given back")
	}
}

func TestConflicts(t *testing.T) {
	var s rangelock.Set[string]
	s.Grant(lk("a", rd, 0, 9))
	s.Grant(lk("b", wr, 20, 29))
	for _, c := range []struct {
		want lock
		with []string
	}{
		{lk("c", rd, 0, 9), nil},
		{lk("c", wr, 0, 9), []string{"a"}},
		{lk("a", wr, 0, 9), nil},
		{lk("c", rd, 9, 20), []string{"b"}},
		{lk("c", wr, 9, 20), []string{"a", "b"}},
		{lk("c", wr, 10, 19), nil},
		{lk("b", wr, 25, rangelock.End), nil},
	} {
		var with []string
		for _, l := range s.Conflicts(c.want) {
			with = append(with, l.Owner)
		}
		if !reflect.DeepEqual(with, c.with) {
			t.Errorf("%v conflicts with %v, want %v", c.want, with, c.with)
		}
	}
}

// TestAgainstModel compares the set with one that keeps a kind for each byte and owner.
func TestAgainstModel(t *testing.T) {
	const size, owners = 24, 3
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var s rangelock.Set[int]
		var model [owners][size]int // 0 none, 1 read, 2 write
		for step := range 60 {
			first := rng.Uint64N(size)
			last := first + rng.Uint64N(size-first)
			owner, kind := rng.IntN(owners), rangelock.Kind(rng.IntN(2))
			if rng.IntN(3) == 0 {
				s.Release(owner, first, last)
				fill(model[owner][first:last+1], 0)
			} else if want := (rangelock.Lock[int]{Owner: owner, Kind: kind, First: first, Last: last}); len(s.Conflicts(want)) == 0 {
				if by, ok := blocked(&model, want); ok {
					t.Fatalf("seed %d step %d: granted %v although %d holds some of it", seed, step, want, by)
				}
				s.Grant(want)
				fill(model[owner][first:last+1], int(kind)+1)
			} else if _, ok := blocked(&model, want); !ok {
				t.Fatalf("seed %d step %d: refused %v", seed, step, want)
			}
			for o := range owners {
				if got, want := held(&s, o, size), fmt.Sprint(model[o]); got != want {
					t.Fatalf("seed %d step %d owner %d: holds %s, want %s", seed, step, o, got, want)
				}
			}
		}
	}
}

func fill(bytes []int, v int) {
	for i := range bytes {
		bytes[i] = v
	}
}

func blocked(model *[3][24]int, want rangelock.Lock[int]) (int, bool) {
	for o, bytes := range model {
		for i := want.First; i <= want.Last; i++ {
			if o != want.Owner && (bytes[i] == 2 || bytes[i] == 1 && want.Kind == rangelock.Write) {
				return o, true
			}
		}
	}
	return 0, false
}

// held draws an owner's locks byte by byte; neighbours of one kind that were not merged show as 9.
func held(s *rangelock.Set[int], owner, size int) string {
	bytes := make([]int, size)
	var before *rangelock.Lock[int]
	for _, l := range s.Held(owner, 0, rangelock.End) {
		for i := l.First; i <= l.Last; i++ {
			bytes[i] = int(l.Kind) + 1
		}
		if before != nil && before.Kind == l.Kind && before.Last+1 == l.First {
			bytes[l.First] = 9
		}
		before = &l
	}
	return fmt.Sprint(bytes)
}
