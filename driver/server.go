package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/csi-9p/csi-9p/transport/dial"
	"google.golang.org/grpc"
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

// Serve serves what register registers until ctx ends, then lets the calls in
// flight finish. It closes the listener, which removes its socket.
func Serve(ctx context.Context, listener net.Listener, register func(grpc.ServiceRegistrar)) error {
	logger := klog.FromContext(ctx)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(interceptor(logger)))
	defer server.Stop()
	register(server)
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
