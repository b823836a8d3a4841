package controller_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"google.golang.org/grpc/codes"
)

// A server that does not answer is waited for once, whoever asks meanwhile, and asked anew by who comes later.
func TestDeadServerIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		c := newControllerWith(t, controller.Options{Open: func(ctx context.Context, _ dial.URL, _ mtls.Source) (*ninep.Session, error) {
			opened++
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		ask := func() error {
			_, err := c.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: map[string]string{"server": "tcp://10.0.0.5"}})
			return err
		}
		answers := make(chan error)
		const callers = 50
		for range callers {
			go func() { answers <- ask() }()
		}
		for range callers {
			fails(t, <-answers, codes.Unavailable, "no answer within 5s")
		}
		if opened != 1 {
			t.Errorf("opened %d times", opened)
		}
		fails(t, ask(), codes.Unavailable, "tcp://10.0.0.5")
		if opened != 2 {
			t.Errorf("opened %d times", opened)
		}
	})
}

// Who waits for another's attempt and leaves is told which server it was.
func TestDeadServerIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newControllerWith(t, controller.Options{Open: func(ctx context.Context, _ dial.URL, _ mtls.Source) (*ninep.Session, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		request := &csi.GetCapacityRequest{Parameters: map[string]string{"server": "tcp://10.0.0.5"}}
		first := make(chan error)
		go func() {
			_, err := c.GetCapacity(t.Context(), request)
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.GetCapacity(ctx, request)
		fails(t, err, codes.Canceled, "tcp://10.0.0.5")
		fails(t, <-first, codes.Unavailable, "tcp://10.0.0.5")
	})
}
