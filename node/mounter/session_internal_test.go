package mounter

import (
	"errors"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
)

func TestZeroCopyIsRequired(t *testing.T) {
	required := params.Defaults()
	required.ZeroCopy = params.ZeroCopyRequire
	speaking := new(ninep.Session) // 9P2000.L
	copies, direct := &session{Session: speaking, dialer: new(dialer)}, &session{Session: speaking, dialer: &dialer{zeroCopy: true}}
	if err := copies.suits(required); !errors.Is(err, ErrSpec) {
		t.Errorf("on a transport that copies: %v, want ErrSpec", err)
	}
	for name, err := range map[string]error{
		"not required":                 copies.suits(params.Defaults()),
		"a transport that copies none": direct.suits(required),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAVolumeWhoseConnectionEndedIsNotServed(t *testing.T) {
	v := &Volume{ended: make(chan struct{})}
	v.served.Store(new(served))
	if got := v.State(); got != Serving {
		t.Errorf("state %q, want %q", got, Serving)
	}
	close(v.ended)
	if got := v.State(); got != Draining {
		t.Errorf("state after the end %q, want %q", got, Draining)
	}
}
