package mounter

import (
	"errors"
	"strings"
	"testing"
	"time"

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

// A device bears one session, whatever its volumes ask for: one that asks for
// what the session has not is refused by the parameter.
func TestADeviceHasOneSession(t *testing.T) {
	device := dial.URL{Scheme: dial.Virtio, Host: "share"}
	lent := &session{key: sessionKey{server: device.String()}, ready: make(chan struct{}), Session: new(ninep.Session), dialer: new(dialer)}
	close(lent.ready)
	open := sessions{open: map[sessionKey]*session{lent.key: lent}}
	lent.refs++ // of the gateway
	volume := func(dialect params.Dialect, patience time.Duration) error {
		p := params.Defaults()
		p.Dialect, p.ReconnectTimeout = dialect, patience
		got, err := open.get(t.Context(), device, dial.Options{}, p)
		if got != lent || err != nil {
			t.Fatalf("%p, %v; want %p", got, err, lent)
		}
		err = open.admit(got, p)
		if err != nil {
			open.put(got)
		}
		return err
	}
	for _, step := range []struct {
		dialect  params.Dialect
		patience time.Duration
		refused  string // by this parameter
	}{
		{dialect: params.DialectL, patience: time.Hour}, // the first volume's counts
		{dialect: params.DialectAuto, patience: time.Hour},
		{dialect: params.DialectU, patience: time.Hour, refused: "dialect"},
		{dialect: params.DialectL, patience: time.Minute, refused: "reconnectTimeout"},
		{dialect: params.DialectL, patience: 0, refused: "reconnectTimeout"},
	} {
		if err := volume(step.dialect, step.patience); (err == nil) != (step.refused == "") || err != nil && (!errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), step.refused+"=")) {
			t.Errorf("%+v: %v", step, err)
		}
	}
	for range 2 {
		open.dismiss(lent)
	}
	if err := volume(params.DialectL, time.Minute); err != nil || lent.refs != 2 {
		t.Errorf("with another reconnectTimeout, when the other volumes are gone: %v, %d references", err, lent.refs)
	}
}
