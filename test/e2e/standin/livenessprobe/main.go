// Command livenessprobe stands in for the sidecar of that name, whose image cannot be built from a Go module: it takes
// the flags that the driver's manifests give it. /healthz calls the driver's Probe and answers 200 when the driver says
// that it is ready, else 500 with the reason.
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
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
)

func main() {
	csiAddress := flag.String("csi-address", "/run/csi/socket", "path of the driver's socket")
	timeout := flag.Duration("probe-timeout", time.Second, "of a call of Probe")
	port := flag.String("health-port", "9808", "port of /healthz on every address, unless --http-endpoint is given")
	endpoint := flag.String("http-endpoint", "", "address of /healthz")
	klog.InitFlags(nil)
	flag.Parse()
	if *endpoint == "" {
		*endpoint = net.JoinHostPort("0.0.0.0", *port)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := serve(ctx, *csiAddress, *endpoint, *timeout); err != nil {
		klog.ErrorS(err, "Liveness probe ends")
		stop()
		klog.Flush()
		os.Exit(1)
	}
}

func serve(ctx context.Context, csiAddress, endpoint string, timeout time.Duration) error {
	conn, err := grpc.NewClient("unix://"+csiAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	identity := csi.NewIdentityClient(conn)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		call, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		if err := probe(call, identity); err != nil {
			klog.ErrorS(err, "Not healthy")
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "ok")
	})
	s := &http.Server{Addr: endpoint, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	klog.InfoS("Serving /healthz", "endpoint", endpoint, "driver", csiAddress)
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// probe follows the specification: a reply that does not say whether the driver is ready says that it is.
func probe(ctx context.Context, identity csi.IdentityClient) error {
	reply, err := identity.Probe(ctx, &csi.ProbeRequest{})
	if err != nil {
		return fmt.Errorf("calling Probe: %w", err)
	}
	if ready := reply.GetReady(); ready != nil && !ready.GetValue() {
		return errors.New("the driver answers Probe but is not ready")
	}
	return nil
}
