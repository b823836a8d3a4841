package ninep

import "testing"

// TestSilence: only looks between which a reply was due all the time and none came are silent.
func TestSilence(t *testing.T) {
	var s silence
	for i, step := range []struct {
		replies uint64
		due     bool
		want    int
	}{
		{0, false, 0}, {0, false, 0}, // idle
		{0, true, 0}, {0, true, 1}, {0, true, 2}, // asked, not answered
		{1, true, 0}, {1, true, 1}, // one answer of two
		{2, false, 0}, {2, false, 0}, // both
		{2, true, 0}, {3, true, 0}, {4, true, 0}, // busy
		{4, true, 1}, {4, false, 0}, {4, true, 0}, // withdrawn, and another sent
	} {
		if got := s.look(step.replies, step.due); got != step.want {
			t.Errorf("look %d: %d, want %d", i, got, step.want)
		}
	}
}
