package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"
)

// ErrEndpoint means that an endpoint is not one that Listen can listen on.
var ErrEndpoint = errors.New("endpoint")

// stopGrace is how long calls in flight may go on after Serve's context ended.
const stopGrace = 10 * time.Second

// Listen opens a CSI endpoint: unix:///path, unix:path or a plain path. A
// socket that a dead process left behind is removed; one that somebody listens
// on is an error, and so is anything else in its place.
func Listen(ctx context.Context, endpoint string) (net.Listener, error) {
	path, err := socketPath(endpoint)
	if err != nil {
		return nil, err
	}
	if err := removeStale(ctx, path); err != nil {
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

// removeStale removes the socket at path if nobody listens on it.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return errors.New("there is something else than a socket; remove it or choose another path")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return errors.New("another process listens there; stop it or choose another path")
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// Serve serves what register registers until ctx ends, then lets the calls in
// flight finish. It closes the listener, which removes its socket.
func Serve(ctx context.Context, listener net.Listener, register func(grpc.ServiceRegistrar)) error {
	logger := klog.FromContext(ctx)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(interceptor(logger)))
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
