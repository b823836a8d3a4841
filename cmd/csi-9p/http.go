package main

import (
	"context"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/httpd"
	"github.com/csi-9p/csi-9p/metrics"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
)

// httpFlags are the flags of every verb that serves.
type httpFlags struct {
	endpoint, metricsPath string
	pprof                 bool
}

func (f *httpFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.endpoint, "http-endpoint", "", "host:port for metrics, /healthz and /readyz; an empty host is every address (default: none)")
	flags.StringVar(&f.metricsPath, "metrics-path", "/metrics", "path of the metrics on --http-endpoint")
	flags.BoolVar(&f.pprof, "pprof", false, "serve Go's profiles on --http-endpoint, which then must be a loopback address")
}

// checks are what a verb's /healthz and /readyz ask; ready nil is healthy.
type checks struct{ healthy, ready httpd.Check }

// listen opens the HTTP endpoint. Without one nothing listens.
func (f httpFlags) listen(ctx context.Context, registry *metrics.Registry, c checks) (*httpd.Server, error) {
	web, err := httpd.Listen(ctx, httpd.Options{
		Address: f.endpoint, MetricsPath: f.metricsPath, Pprof: f.pprof,
		Metrics: registry, Healthy: c.healthy, Ready: c.ready,
	})
	if err == nil && web.Addr() != "" {
		klog.FromContext(ctx).Info("Serving metrics and health", "address", web.Addr(), "metricsPath", f.metricsPath)
	}
	return web, err
}

// beside does a verb's work with its HTTP endpoint beside it; the end of either is the end of both.
func beside(ctx context.Context, web *httpd.Server, work func(context.Context) error) error {
	tasks, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks.Go(func() error { return web.Serve(ctx) })
	tasks.Go(func() error { defer cancel(); return work(ctx) })
	return tasks.Wait()
}

// answering checks that the process answers gRPC calls on its own endpoint.
func answering(endpoint string) httpd.Check {
	return func(ctx context.Context) error { return driver.Answers(ctx, endpoint) }
}
