package virtio_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// devices are the mount tags of the run's devices that have no session.
type devices chan string

// findDevices returns the devices that the run was told of.
func findDevices(t *testing.T) devices {
	t.Helper()
	tags := strings.Fields(os.Getenv("CSI9P_TEST_VIRTIO"))
	if len(tags) == 0 {
		t.Skip("CSI9P_TEST_VIRTIO names no virtio-9p device: make guest runs this test where there are some")
	}
	d := make(devices, len(tags))
	for _, tag := range tags {
		d <- tag
	}
	return d
}

// dial connects to the device that has been free for longest.
func (d devices) dial(ctx context.Context) (transport.Conn, error) {
	var tag string
	select {
	case tag = <-d:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn, err := dial.Dial(ctx, dial.URL{Scheme: dial.Virtio, Host: tag}, dial.Options{
		AllowUnsafeDMA: os.Getenv("CSI9P_TEST_UNSAFE_DMA") == "true",
	})
	if err != nil {
		d <- tag
		return nil, err
	}
	go func() {
		<-conn.Lost()
		d <- tag
	}()
	return conn, nil
}
