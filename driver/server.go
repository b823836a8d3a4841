package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/transport/dial"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
)

// ErrEndpoint means that an endpoint is not one that Listen can listen on.
var ErrEndpoint = errors.New("endpoint")

// stopGrace is how long calls in flight may go on after Serve's context ended.
const stopGrace = 10 * time.Second

// Listen opens a CSI endpoint: unix:///path, unix:path or a plain path. A
// socket that a dead process left behind is removed; one that somebody listens
// on is an error, and so is anything else in its place. The listener is a
// *net.UnixListener, which removes the socket when it is closed.
func Listen(ctx context.Context, endpoint string) (net.Listener, error) {
	path, err := socketPath(endpoint)
	if err != nil {
		return nil, err
	}
	if err := dial.RemoveStale(ctx, path); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrEndpoint, endpoint, err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrEndpoint, endpoint, err)
	}
	return listener, nil
}

func socketPath(endpoint string) (string, error) {
	path := endpoint
	if rest, found := strings.CutPrefix(endpoint, "unix:"); found {
		path = rest
		if strings.HasPrefix(rest, "//") {
			path = rest[2:]
		}
	} else if strings.Contains(endpoint, "://") {
		return "", fmt.Errorf("%w %s: only unix sockets are served; write unix:///path", ErrEndpoint, endpoint)
	}
	if path == "" {
		return "", fmt.Errorf("%w %q: the path is missing; write unix:///path", ErrEndpoint, endpoint)
	}
	return path, nil
}

// Services are what Serve serves.
type Services struct {
	// Register registers them.
	Register func(grpc.ServiceRegistrar)
	// Observe is told of each call: its full method, its outcome, a gRPC status,
	// and how long it took. nil: nobody is.
	Observe func(method string, err error, took time.Duration)
}

// Serve serves the services until ctx ends, then lets the calls in flight
// finish. It closes the listener, which removes its socket.
func Serve(ctx context.Context, listener net.Listener, s Services) error {
	logger := klog.FromContext(ctx)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(interceptor(logger, s.Observe)))
	defer server.Stop()
	s.Register(server)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	logger.Info("Stopping", "endpoint", listener.Addr().String())
	force := time.AfterFunc(stopGrace, server.Stop)
	server.GracefulStop()
	force.Stop()
	return <-failed
}

// Answers reports why the plugin on an endpoint does not answer, by asking for
// its name.
func Answers(ctx context.Context, endpoint string) error {
	path, err := socketPath(endpoint)
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := csi.NewIdentityClient(connection).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{}); err != nil {
		return fmt.Errorf("%w %s: %w", ErrEndpoint, endpoint, err)
	}
	return nil
}
