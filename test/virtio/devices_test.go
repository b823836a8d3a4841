package virtio_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// devices are the virtio-9p devices of the run. A connection that is closed is
// kept for the next session, whose Tversion begins anew: it takes seconds to take
// a device from the kernel where the IOMMU is emulated.
type devices struct {
	tags []string // of those without a connection

	mu   sync.Mutex
	idle []transport.Conn
	all  []transport.Conn
}

// openDevices returns the devices that the run was told of, which are closed when
// the test ends.
func openDevices(t *testing.T) *devices {
	t.Helper()
	d := &devices{tags: strings.Fields(os.Getenv("CSI9P_TEST_VIRTIO"))}
	if len(d.tags) == 0 {
		t.Skip("CSI9P_TEST_VIRTIO names no virtio-9p device: make guest runs this test where there are some")
	}
	t.Cleanup(func() {
		for _, conn := range d.all {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return d
}

// dial returns a connection to a device that nobody uses.
func (d *devices) dial(ctx context.Context) (transport.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.idle); n > 0 {
		conn := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return &borrowed{Conn: conn, from: d}, nil
	}
	if len(d.tags) == 0 {
		return nil, errors.New("every device is in use")
	}
	conn, err := dial.Dial(ctx, dial.URL{Scheme: dial.Virtio, Host: d.tags[0]}, dial.Options{
		AllowUnsafeDMA: os.Getenv("CSI9P_TEST_UNSAFE_DMA") == "true",
	})
	if err != nil {
		return nil, err
	}
	d.tags, d.all = d.tags[1:], append(d.all, conn)
	return &borrowed{Conn: conn, from: d}, nil
}

// borrowed is a connection that is given back instead of closed, if it lives.
type borrowed struct {
	transport.Conn
	from *devices
	once sync.Once
}

func (b *borrowed) Close() error {
	b.once.Do(func() {
		b.from.mu.Lock()
		defer b.from.mu.Unlock()
		if b.Err() == nil {
			b.from.idle = append(b.from.idle, b.Conn)
		}
	})
	return nil
}
