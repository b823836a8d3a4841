package fuse

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRequestsAreShed: after a crowd of requests the memory of a few stays, none of which is in use; with one still
// unanswered, an interrupt finds it.
func TestRequestsAreShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newTestConn(nil)
		var crowd []*Request
		for range 100 {
			crowd = append(crowd, c.request())
		}
		for _, r := range crowd[1:] {
			c.requests.recycle(r)
		}
		time.Sleep(3 * unusedFor)
		if n := len(c.requests.list()); n != keptRequests {
			t.Errorf("%d requests are kept, want %d", n, keptRequests)
		}
		found := false
		for _, r := range c.requests.list() {
			found = found || r == crowd[0]
		}
		if !found {
			t.Error("the one that is in use is not among them")
		}
		for range keptRequests - 1 {
			if c.request() == crowd[0] {
				t.Error("a request is used twice at a time")
			}
		}
	})
}
