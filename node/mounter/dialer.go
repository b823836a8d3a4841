package mounter

import (
	"context"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"k8s.io/klog/v2"
)

// dialer makes the connections of a session, one after the other, and logs that
// the server went and came back.
type dialer struct {
	url      dial.URL
	logger   klog.Logger
	zeroCopy bool // the first connection's: its transport is that of all

	connected bool // once, and since then not lost
	lost      bool // and not back
}

func (d *dialer) dial(ctx context.Context) (transport.Conn, error) {
	if d.connected {
		d.connected, d.lost = false, true
		d.logger.Info("Lost the server; connecting again")
	}
	conn, err := dial.Dial(ctx, d.url, dial.Options{})
	if err != nil {
		return nil, err
	}
	if d.lost {
		d.logger.Info("Connected to the server again")
	} else {
		d.zeroCopy = conn.Traits().ZeroCopy
	}
	d.connected, d.lost = true, false
	return conn, nil
}
