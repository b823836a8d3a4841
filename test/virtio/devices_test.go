package virtio_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// devices are the mount tags of the run's devices.
type devices []string

// findDevices returns the devices that the run was told of.
func findDevices(t *testing.T) devices {
	t.Helper()
	tags := strings.Fields(os.Getenv("CSI9P_TEST_VIRTIO"))
	if len(tags) == 0 {
		t.Skip("CSI9P_TEST_VIRTIO names no virtio-9p device: make guest runs this test where there are some")
	}
	return tags
}

// dial connects to the first device that is free.
func (d devices) dial(ctx context.Context) (transport.Conn, error) {
	var errs []error
	for _, tag := range d {
		conn, err := dial.Dial(ctx, dial.URL{Scheme: dial.Virtio, Host: tag}, dial.Options{
			AllowUnsafeDMA: os.Getenv("CSI9P_TEST_UNSAFE_DMA") == "true",
		})
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
