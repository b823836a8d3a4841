package mounter

import (
	"errors"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport/dial"
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

// A device bears one session, whatever its volumes ask for: the second one's is
// the first one's, unless it is to speak another dialect.
func TestADeviceHasOneSession(t *testing.T) {
	device := dial.URL{Scheme: dial.Virtio, Host: "share"}
	first := &session{key: sessionKey{server: device.String()}, ready: make(chan struct{}), Session: new(ninep.Session), dialer: new(dialer)}
	close(first.ready)
	open := sessions{open: map[sessionKey]*session{first.key: first}}
	p := params.Defaults()
	p.ReconnectTimeout *= 2
	if got, err := open.get(t.Context(), device, dial.Options{}, p); got != first || err != nil {
		t.Fatalf("with another reconnectTimeout: %p, %v; want %p", got, err, first)
	}
	for dialect, suits := range map[params.Dialect]bool{params.DialectL: true, params.DialectAuto: true, params.DialectU: false} {
		p.Dialect = dialect
		got, err := open.get(t.Context(), device, dial.Options{}, p)
		if got != first || err != nil {
			t.Fatalf("with dialect %s: %p, %v; want %p", dialect, got, err, first)
		}
		if err := got.suits(p); (err == nil) != suits || !suits && !errors.Is(err, ErrSpec) {
			t.Errorf("dialect %s: %v", dialect, err)
		}
	}
}
