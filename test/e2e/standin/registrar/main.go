// Command registrar stands in for node-driver-registrar, whose image cannot be built from a Go module: it takes the
// flags that the driver's manifests give it, and behaves as the real one does where kubelet and the driver can tell.
//
// It asks the driver for its name and serves kubelet's plugin registration protocol
// (k8s.io/kubelet/pkg/apis/pluginregistration/v1) on a socket in kubelet's plugins_registry. It ends with an error, to
// be started again by kubelet, when kubelet refuses the driver or when its socket is gone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type options struct {
	csiAddress   string
	kubeletPath  string
	registry     string
	httpEndpoint string
	timeout      time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.csiAddress, "csi-address", "/run/csi/socket", "path of the driver's socket, here")
	flag.StringVar(&o.kubeletPath, "kubelet-registration-path", "", "path of the driver's socket on the host")
	flag.StringVar(&o.registry, "plugin-registration-path", "/registration", "kubelet's plugins_registry, here")
	flag.StringVar(&o.httpEndpoint, "http-endpoint", "", "address of /healthz; empty: none")
	flag.DurationVar(&o.timeout, "timeout", time.Second, "of a call to the driver")
	klog.InitFlags(nil)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := run(ctx, o); err != nil {
		klog.ErrorS(err, "Registrar ends")
		stop()
		klog.FlushAndExit(klog.ExitFlushTimeout, 1)
	}
}

func run(ctx context.Context, o options) error {
	if o.kubeletPath == "" {
		return errors.New("--kubelet-registration-path is missing")
	}
	name, err := driverName(ctx, o)
	if err != nil {
		return err
	}
	socket := filepath.Join(o.registry, name+"-reg.sock")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := listen(socket)
	if err != nil {
		return err
	}
	klog.InfoS("Waiting for kubelet", "driver", name, "socket", socket)
	refused := make(chan error, 1)
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, &registrar{name: name, endpoint: o.kubeletPath, refused: refused})

	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return server.Serve(listener) })
	tasks.Go(func() error { return watch(ctx, socket) })
	if o.httpEndpoint != "" {
		tasks.Go(func() error { return serveHealth(ctx, o.httpEndpoint, socket) })
	}
	tasks.Go(func() error {
		defer server.Stop() // closes the listener, which removes the socket
		select {
		case err := <-refused:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return tasks.Wait()
}

// driverName asks the driver, for as long as it takes the driver to start.
func driverName(ctx context.Context, o options) (string, error) {
	conn, err := grpc.NewClient("unix://"+o.csiAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	for {
		call, cancel := context.WithTimeout(ctx, o.timeout)
		reply, err := csi.NewIdentityClient(conn).GetPluginInfo(call, &csi.GetPluginInfoRequest{}, grpc.WaitForReady(true))
		cancel()
		switch {
		case err == nil:
			return reply.GetName(), nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
		klog.ErrorS(err, "The driver does not say its name, asking again", "address", o.csiAddress)
		select {
		case <-ctx.Done():
		case <-time.After(o.timeout):
		}
	}
}

// listen makes the socket, for root alone.
func listen(socket string) (net.Listener, error) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	return net.Listen("unix", socket)
}

// watch returns nil when ctx ends, and an error when the socket is removed: kubelet would never find the driver again.
func watch(ctx context.Context, socket string) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(socket)); err != nil {
		return err
	}
	for {
		if _, err := os.Lstat(socket); err != nil && ctx.Err() == nil {
			return fmt.Errorf("the registration socket is gone: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
		case err := <-w.Errors:
			return err
		}
	}
}

// serveHealth answers /healthz with 200 as long as the socket is there.
func serveHealth(ctx context.Context, address, socket string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Lstat(socket); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "ok")
	})
	s := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// registrar answers kubelet's plugin watcher.
type registrar struct {
	registration.UnsafeRegistrationServer
	name, endpoint string
	refused        chan<- error
}

func (r *registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	klog.InfoS("Kubelet asks for the driver", "driver", r.name, "endpoint", r.endpoint)
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: r.name, Endpoint: r.endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (r *registrar) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if s.GetPluginRegistered() {
		klog.InfoS("Registered", "driver", r.name)
	} else {
		select {
		case r.refused <- fmt.Errorf("kubelet refuses the driver %s: %s", r.name, s.GetError()):
		default:
		}
	}
	return &registration.RegistrationStatusResponse{}, nil
}
