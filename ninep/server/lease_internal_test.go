package server

import (
	"testing"
	"time"
)

// TestLeaseTime: each lease has its time, whenever in it the timer that an earlier one has set runs out.
func TestLeaseTime(t *testing.T) {
	c := &conn{server: new(Server)}
	c.idle.Store(1) // somebody waits for the turn
	l := &c.lease
	l.timer = time.AfterFunc(time.Hour, func() {}) // the test calls expire in its place
	defer l.timer.Stop()
	c.reading.Lock()
	if !l.end(l.begin()) {
		t.Fatal("the turn is gone")
	}
	young := l.begin()
	c.expire()
	if !l.end(young) || l.paused.Load() != 0 {
		t.Fatal("a lease ended when another's time had run out")
	}
	old := l.begin()
	c.expire()
	c.expire()
	if l.end(old) || !c.reading.TryLock() || l.paused.Load() == 0 {
		t.Error("the turn is kept however long it takes")
	}
}
