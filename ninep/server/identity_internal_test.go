package server

import "testing"

func TestUsersOfAnImageWithoutAny(t *testing.T) {
	for name, want := range map[string]uint32{"root": 0, "0": 0, "1000": 1000} {
		if uid, err := unknownUser(name); err != nil || uid != want {
			t.Errorf("%s: got %d, %v", name, uid, err)
		}
	}
	if uid, err := unknownUser("nobody that there is"); err == nil {
		t.Errorf("somebody unknown is %d", uid)
	}
}
