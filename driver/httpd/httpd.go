// Package httpd is the HTTP listener beside a process's real work: /metrics for
// Prometheus, /healthz and /readyz for the kubelet and for people, and Go's
// profiles where they are asked for.
package httpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// ErrOptions is wrapped by what is wrong with Options.
var ErrOptions = errors.New("HTTP endpoint")

const (
	checkTimeout  = 2 * time.Second  // of a Check; the kubelet's own default is one second
	headerTimeout = 5 * time.Second  // for a request's head to arrive
	writeTimeout  = 2 * time.Minute  // for an answer; a CPU profile takes half a minute
	idleTimeout   = 2 * time.Minute  // between two requests of a connection
	stopGrace     = 2 * time.Second  // for answers under way when the process ends
	gatherTimeout = 10 * time.Second // for a scrape: Prometheus' default
	maxHeader     = 16 << 10         // bytes
	maxScrapes    = 4                // at once
)

// Check reports what is wrong, in a text for who looks at the endpoint; nil is
// well. It must end when its context does.
type Check func(context.Context) error

// Options shape a Server.
type Options struct {
	// Address is where to listen, as host:port; an empty host is every address.
	Address string
	// MetricsPath is where the metrics are; empty: /metrics.
	MetricsPath string
	// Metrics are what is served there.
	Metrics prometheus.Gatherer
	// Healthy is /healthz: whether this process itself works. One that does not
	// should be restarted. nil: it does.
	Healthy Check
	// Ready is /readyz: whether what it needs is there too. nil: as Healthy.
	Ready Check
	// Pprof serves Go's profiles below /debug/pprof/, on a loopback Address only:
	// they show the process's memory.
	Pprof bool
}

// Server is a listener that is not served yet, or nobody's: the zero Server
// listens nowhere.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen opens the listener, so that an address that cannot be had is an error
// before the process takes up its work. An empty Address opens none.
func Listen(ctx context.Context, o Options) (*Server, error) {
	if o.MetricsPath == "" {
		o.MetricsPath = "/metrics"
	}
	if err := o.check(ctx); err != nil || o.Address == "" {
		return new(Server), err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, listenError(o.Address, err)
	}
	return &Server{listener: listener, http: &http.Server{
		Handler:           o.handler(klog.FromContext(ctx)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout, // no request has a body
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
	}}, nil
}

// check reports the first contradiction in the options.
func (o Options) check(ctx context.Context) error {
	switch {
	case o.MetricsPath[0] != '/', reserved[o.MetricsPath], strings.ContainsAny(o.MetricsPath, "{}"): // wildcards of http.ServeMux
		return fmt.Errorf("%w: metrics path %q: write a path such as /metrics", ErrOptions, o.MetricsPath)
	case o.Pprof && o.Address == "":
		return fmt.Errorf("%w: profiles need an address; give one of this host, such as localhost:6060", ErrOptions)
	case o.Pprof:
		return checkLoopback(ctx, o.Address)
	}
	return nil
}

// reserved are the paths that metrics cannot have.
var reserved = map[string]bool{"/": true, "/healthz": true, "/readyz": true}

// checkLoopback refuses an address that other hosts, or other pods, can reach.
func checkLoopback(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w %s: %w", ErrOptions, address, err)
	}
	addresses := []net.IPAddr{{IP: net.IPv6unspecified}}
	if host != "" {
		if addresses, err = net.DefaultResolver.LookupIPAddr(ctx, host); err != nil {
			return fmt.Errorf("%w %s: %w", ErrOptions, address, err)
		}
	}
	for _, a := range addresses {
		if !a.IP.IsLoopback() {
			return fmt.Errorf("%w %s: profiles show the process's memory and are served on a loopback address only, such as localhost:6060", ErrOptions, address)
		}
	}
	return nil
}

// listenError adds what to do about an address that is taken.
func listenError(address string, err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("%w %s: %w; give --http-endpoint another port, or none", ErrOptions, address, err)
	}
	return fmt.Errorf("%w %s: %w", ErrOptions, address, err)
}

// Addr is where the server listens; empty: nowhere.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close closes the listener of a Server that is not served.
func (s *Server) Close() error {
	if s.listener == nil {
		return nil
	}
	return s.listener.Close()
}

// Serve answers until ctx ends and closes the listener. A Server that listens
// nowhere returns nil at once.
func (s *Server) Serve(ctx context.Context) error {
	if s.listener == nil {
		return nil
	}
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("%w %s: %w", ErrOptions, s.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if s.http.Shutdown(stopping) != nil {
		_ = s.http.Close() // who has not read its answer by now gets none
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%w %s: %w", ErrOptions, s.Addr(), err)
	}
	return nil
}

func (o Options) handler(logger klog.Logger) http.Handler {
	mux := http.NewServeMux()
	ready := o.Ready
	if ready == nil {
		ready = o.Healthy
	}
	mux.Handle("GET /healthz", answer(o.Healthy))
	mux.Handle("GET /readyz", answer(ready))
	if o.Metrics != nil {
		mux.Handle("GET "+o.MetricsPath, promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
			ErrorLog:            scrapeLog{logger},
			ErrorHandling:       promhttp.ContinueOnError,
			MaxRequestsInFlight: maxScrapes,
			Timeout:             gatherTimeout,
		}))
	}
	if o.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// answer serves a check: 200 and "ok", or 503 and what is wrong.
func answer(check Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		if check != nil {
			if err := check(ctx); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	})
}

// scrapeLog logs metrics that could not be collected. It implements
// promhttp.Logger.
type scrapeLog struct{ logger klog.Logger }

func (l scrapeLog) Println(v ...any) {
	l.logger.Error(errors.New(fmt.Sprint(v...)), "Some metrics could not be collected")
}
