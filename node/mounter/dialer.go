package mounter

import (
	"context"
	"sync"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"k8s.io/klog/v2"
)

// dialer makes the connections of a session, one after the other, and logs how
// they fare.
type dialer struct {
	url       dial.URL
	logger    klog.Logger
	unsafeDMA bool
	memory    transport.Memory // of the session's arena, for as long as there are connections

	mu       sync.Mutex
	tls      mtls.Source // nil without TLS
	zeroCopy bool        // the last connection's: its transport is that of all

	told string // why the server is lost, as the log has it; of changed alone
}

func (d *dialer) dial(ctx context.Context) (transport.Conn, error) {
	conn, err := dial.Dial(klog.NewContext(ctx, d.logger), d.url, dial.Options{
		TLS: d.credentials(), Memory: &d.memory, AllowUnsafeDMA: d.unsafeDMA,
	})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zeroCopy = conn.Traits().ZeroCopy
	return conn, nil
}

// copiesNothing tells whether the transport is zero copy.
func (d *dialer) copiesNothing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.zeroCopy
}

// credentials are those of the next connection.
func (d *dialer) credentials() mtls.Source {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tls
}

// renew replaces the credentials of the next connection.
func (d *dialer) renew(tls mtls.Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tls = tls
}

// changed logs that the server went, that it came back and, once for each reason,
// what people have to mend before it can. What fails by itself and passes by
// itself is logged as the loss alone.
func (d *dialer) changed(s ninep.Status) {
	switch {
	case s.Connected:
		d.logger.Info("Connected to the server again")
		d.told = ""
	case d.told == "":
		d.told = s.Err.Error()
		d.logger.Info("Lost the server; connecting again", "reason", d.told)
	case mtls.IsSetup(s.Err) && d.told != s.Err.Error():
		d.told = s.Err.Error()
		d.logger.Error(s.Err, "Cannot connect to the server; trying on")
	}
}
