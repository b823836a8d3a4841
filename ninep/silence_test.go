package ninep

import (
	"testing"
	"time"
)

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

// TestDeadlineOf: a time-out of its own counts from the server's last sign of life, but leaves it the time to come back.
func TestDeadlineOf(t *testing.T) {
	lost := time.Now()
	for name, c := range map[string]struct {
		silence, session, own time.Duration
		want                  time.Duration // after the loss
		forever               bool
	}{
		"no silence":             {own: 30 * time.Second, want: 30 * time.Second},
		"some silence":           {silence: 10 * time.Second, own: 30 * time.Second, want: 20 * time.Second},
		"long silence":           {silence: 40 * time.Second, own: 30 * time.Second, want: returnTime},
		"less than a return":     {silence: 40 * time.Second, own: time.Second, want: time.Second},
		"not at all":             {silence: 40 * time.Second, own: -1},
		"the session's":          {silence: 40 * time.Second, session: time.Minute, want: time.Minute},
		"the session's, forever": {silence: 40 * time.Second, forever: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Session{since: lost, silence: c.silence}
			s.SetReconnectTimeout(c.session)
			at, bounded := s.deadlineOf(c.own)
			if bounded == c.forever || bounded && at.Sub(lost) != c.want {
				t.Errorf("%v after the loss (bounded: %t), want %v", at.Sub(lost), bounded, c.want)
			}
		})
	}
}
