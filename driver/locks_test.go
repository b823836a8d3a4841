package driver_test

import (
	"testing"

	"github.com/csi-9p/csi-9p/driver"
	"google.golang.org/grpc/codes"
)

func TestLocks(t *testing.T) {
	var locks driver.Locks
	unlock, err := locks.TryLock("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locks.TryLock("a"); driver.Code(err) != codes.Aborted {
		t.Errorf("second operation: got %v, want Aborted", err)
	}
	other, err := locks.TryLock("b")
	if err != nil {
		t.Errorf("another volume: %v", err)
	}
	other()
	unlock()
	if unlock, err = locks.TryLock("a"); err != nil {
		t.Errorf("after unlock: %v", err)
	}
	unlock()
}
