package httpd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver/httpd"
	"github.com/prometheus/client_golang/prometheus"
)

// start serves until the test ends, and returns the server's URL.
func start(t *testing.T, o httpd.Options) string {
	t.Helper()
	o.Address = "127.0.0.1:0"
	s, err := httpd.Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + s.Addr()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func expect(t *testing.T, url string, code int, text string) {
	t.Helper()
	if got, body := get(t, url); got != code || !strings.Contains(body, text) {
		t.Errorf("GET %s: %d %q, want %d %q", url, got, body, code, text)
	}
}

func TestChecks(t *testing.T) {
	var healthy, ready error
	url := start(t, httpd.Options{
		Healthy: func(context.Context) error { return healthy },
		Ready:   func(context.Context) error { return ready },
	})
	expect(t, url+"/healthz", 200, "ok\n")
	ready = errors.New("the mounter is away; start it")
	expect(t, url+"/healthz", 200, "ok\n")
	expect(t, url+"/readyz", 503, ready.Error())
	healthy = errors.New("nobody answers")
	expect(t, url+"/healthz", 503, healthy.Error())
	expect(t, url+"/metrics", 404, "")
	expect(t, url+"/debug/pprof/", 404, "")
}

func TestReadyIsHealthyByDefault(t *testing.T) {
	url := start(t, httpd.Options{Healthy: func(context.Context) error { return errors.New("ill") }})
	expect(t, url+"/readyz", 503, "ill")
}

// A check that hangs is a check that fails: the kubelet does not wait.
func TestCheckHasADeadline(t *testing.T) {
	url := start(t, httpd.Options{Healthy: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
	expect(t, url+"/healthz", 503, context.DeadlineExceeded.Error())
}

func TestMetricsAndProfiles(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "x_total", Help: "x"})
	counter.Inc()
	registry.MustRegister(counter)
	url := start(t, httpd.Options{Metrics: registry, MetricsPath: "/m", Pprof: true})
	expect(t, url+"/m", 200, "x_total 1\n")
	expect(t, url+"/debug/pprof/goroutine?debug=1", 200, "goroutine profile")
}

func TestRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		options httpd.Options
		text    string
	}{
		{httpd.Options{Address: taken.Addr().String()}, "give --http-endpoint another port"},
		{httpd.Options{Address: "nonsense"}, "nonsense"},
		{httpd.Options{Address: ":0", Pprof: true}, "loopback"},
		{httpd.Options{Address: "0.0.0.0:0", Pprof: true}, "loopback"},
		{httpd.Options{Pprof: true}, "profiles need an address"},
		{httpd.Options{Address: "127.0.0.1:0", MetricsPath: "metrics"}, "write a path such as /metrics"},
		{httpd.Options{Address: "127.0.0.1:0", MetricsPath: "/healthz"}, "metrics path"},
		{httpd.Options{Address: "127.0.0.1:0", MetricsPath: "/{metrics"}, "metrics path"},
	} {
		s, err := httpd.Listen(t.Context(), c.options)
		if !errors.Is(err, httpd.ErrOptions) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v, want %q", c.options, err, c.text)
		}
		if err == nil {
			s.Close()
		}
	}
}

// Without an address nothing listens, and nothing is waited for.
func TestNone(t *testing.T) {
	s, err := httpd.Listen(t.Context(), httpd.Options{})
	if err != nil || s.Addr() != "" || s.Close() != nil || s.Serve(t.Context()) != nil {
		t.Errorf("%v, %q", err, s.Addr())
	}
}

// A client that reads and sends nothing is let go, so that it holds no descriptor for ever, and does not hold up the end.
func TestSilentClient(t *testing.T) {
	t.Parallel() // it waits for the time-out
	url := start(t, httpd.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\n")
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("still connected, after %q", line)
	}
}
