package driver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// plugin is an Identity and a Controller service whose DeleteVolume does what
// a test says.
type plugin struct {
	csi.UnimplementedControllerServer
	delete  func(ctx context.Context) error
	observe func(method string, err error, took time.Duration)
}

func (p *plugin) DeleteVolume(ctx context.Context, _ *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	return &csi.DeleteVolumeResponse{}, p.delete(ctx)
}

// log is a log that can be read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serving is a plugin being served. stop ends it and waits.
type serving struct {
	connection *grpc.ClientConn
	log        *log
	stop       func()
}

func serve(t *testing.T, endpoint string, p *plugin) *serving {
	t.Helper()
	listener, err := driver.Listen(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	written := new(log)
	ctx, cancel := context.WithCancel(t.Context())
	ctx = klog.NewContext(ctx, textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(written), textlogger.Verbosity(2))))
	served := make(chan error, 1)
	go func() {
		served <- driver.Serve(ctx, listener, driver.Services{Observe: p.observe, Register: func(r grpc.ServiceRegistrar) {
			csi.RegisterIdentityServer(r, driver.NewIdentity(driver.IdentityOptions{Version: "v1"}))
			csi.RegisterControllerServer(r, p)
		}})
	}()
	connection, err := grpc.NewClient("unix://"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			connection.Close()
		})
	}
	t.Cleanup(stop)
	return &serving{connection, written, stop}
}

func socket(t *testing.T) string { return filepath.Join(t.TempDir(), "csi.sock") }

func TestIdentity(t *testing.T) {
	s := serve(t, "unix://"+socket(t), &plugin{})
	client := csi.NewIdentityClient(s.connection)
	info, err := client.GetPluginInfo(t.Context(), &csi.GetPluginInfoRequest{})
	if err != nil || info.GetName() != "csi-9p.dev" || info.GetVendorVersion() != "v1" {
		t.Errorf("got %v, %v", info, err)
	}
	capabilities, err := client.GetPluginCapabilities(t.Context(), &csi.GetPluginCapabilitiesRequest{})
	if err != nil || len(capabilities.GetCapabilities()) != 2 {
		t.Errorf("got %v, %v", capabilities, err)
	}
	probe, err := client.Probe(t.Context(), &csi.ProbeRequest{})
	if err != nil || !probe.GetReady().GetValue() {
		t.Errorf("got %v, %v", probe, err)
	}
	s.stop()
	if strings.Contains(s.log.String(), "Probe") {
		t.Errorf("periodic calls are logged:\n%s", s.log)
	}
}

// The capabilities follow from where the services run.
func TestPluginCapabilities(t *testing.T) {
	for _, test := range []struct {
		options driver.IdentityOptions
		want    string
	}{
		{driver.IdentityOptions{}, "CONTROLLER_SERVICE ONLINE"},
		{driver.IdentityOptions{Topology: true}, "CONTROLLER_SERVICE VOLUME_ACCESSIBILITY_CONSTRAINTS ONLINE"},
		{driver.IdentityOptions{Topology: true, NodeDeployment: true}, "CONTROLLER_SERVICE VOLUME_ACCESSIBILITY_CONSTRAINTS"},
	} {
		response, err := driver.NewIdentity(test.options).GetPluginCapabilities(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range response.GetCapabilities() {
			if s := c.GetService(); s != nil {
				got = append(got, s.GetType().String())
			} else {
				got = append(got, c.GetVolumeExpansion().GetType().String())
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%+v: %v, want %s", test.options, got, test.want)
		}
	}
}

func TestNotReady(t *testing.T) {
	missing := errors.New("the mounter is away")
	identity := driver.NewIdentity(driver.IdentityOptions{Name: "x", Ready: func(context.Context) error { return missing }})
	_, err := identity.Probe(t.Context(), &csi.ProbeRequest{})
	if driver.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), missing.Error()) {
		t.Errorf("got %v", err)
	}
	missing = nil
	probe, err := identity.Probe(t.Context(), &csi.ProbeRequest{})
	if err != nil || !probe.GetReady().GetValue() {
		t.Errorf("got %v, %v", probe, err)
	}
}

// Whoever is to count calls hears of each, with the outcome that its caller gets.
func TestCallsAreObserved(t *testing.T) {
	type observation struct {
		method string
		code   codes.Code
	}
	observed := make(chan observation, 1)
	s := serve(t, socket(t), &plugin{
		delete:  func(context.Context) error { return fmt.Errorf("removing x: %w", unix.ENOSPC) },
		observe: func(method string, err error, _ time.Duration) { observed <- observation{method, status.Code(err)} },
	})
	_, err := csi.NewControllerClient(s.connection).DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{})
	want := observation{"/csi.v1.Controller/DeleteVolume", codes.ResourceExhausted}
	if got := <-observed; got != want || status.Code(err) != want.code {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAnswers(t *testing.T) {
	endpoint := "unix://" + socket(t)
	if err := driver.Answers(t.Context(), endpoint); err == nil {
		t.Error("nobody is there and answers")
	}
	s := serve(t, endpoint, &plugin{})
	if err := driver.Answers(t.Context(), endpoint); err != nil {
		t.Error(err)
	}
	s.stop()
	if err := driver.Answers(t.Context(), endpoint); err == nil || !strings.Contains(err.Error(), endpoint) {
		t.Errorf("after the end: %v", err)
	}
}

// One line a call, with its code and duration and without its secrets.
func TestCallsAreLogged(t *testing.T) {
	for name, test := range map[string]struct {
		delete func(context.Context) error
		code   codes.Code
	}{
		"fine":  {func(context.Context) error { return nil }, codes.OK},
		"errno": {func(context.Context) error { return fmt.Errorf("removing x: %w", unix.EACCES) }, codes.PermissionDenied},
		"coded": {func(context.Context) error {
			return errors.Join(driver.Errorf(codes.AlreadyExists, "%s is there", "x"), fmt.Errorf("y: %w", unix.EIO))
		}, codes.AlreadyExists},
		"status": {func(context.Context) error { return status.Error(codes.Aborted, "pending") }, codes.Aborted},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, socket(t), &plugin{delete: test.delete})
			_, err := csi.NewControllerClient(s.connection).DeleteVolume(t.Context(),
				&csi.DeleteVolumeRequest{VolumeId: "some-volume", Secrets: map[string]string{"key": "hunter2"}})
			if status.Code(err) != test.code || strings.Contains(status.Convert(err).Message(), "rpc error") {
				t.Errorf("got %v, want %v", err, test.code)
			}
			s.stop()
			lines := 0
			for line := range strings.Lines(s.log.String()) {
				if !strings.Contains(line, "DeleteVolume") {
					continue
				}
				lines++
				for _, word := range []string{"some-volume", `code="` + test.code.String() + `"`, "duration="} {
					if !strings.Contains(line, word) {
						t.Errorf("%q does not tell %s", line, word)
					}
				}
			}
			if lines != 1 || strings.Contains(s.log.String(), "hunter2") {
				t.Errorf("the log is\n%s", s.log)
			}
		})
	}
}

func TestPanicIsInternal(t *testing.T) {
	s := serve(t, socket(t), &plugin{delete: func(context.Context) error { panic("a fault") }})
	client := csi.NewControllerClient(s.connection)
	for range 2 { // the server lives on
		_, err := client.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{})
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("got %v", err)
		}
	}
	s.stop()
	if !strings.Contains(s.log.String(), "a fault") || !strings.Contains(s.log.String(), "server_test.go") {
		t.Errorf("the log tells no cause:\n%s", s.log)
	}
}

// A call in flight ends as it would have when the server is told to stop.
func TestStopIsGraceful(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	path := socket(t)
	s := serve(t, path, &plugin{delete: func(ctx context.Context) error {
		close(started)
		<-finish
		return ctx.Err()
	}})
	answered := make(chan error, 1)
	go func() {
		_, err := csi.NewControllerClient(s.connection).DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{})
		answered <- err
	}()
	<-started
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	for { // the listener goes first
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	<-stopped
}

func TestListenReplacesStaleSocket(t *testing.T) {
	path := socket(t)
	for _, endpoint := range []string{"unix://" + path, "unix:" + path, path} {
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		stale.Close()
		replaced, err := driver.Listen(t.Context(), endpoint)
		if err != nil {
			t.Errorf("%s: %v", endpoint, err)
			continue
		}
		replaced.Close()
	}
}

func TestListenRefuses(t *testing.T) {
	busy := socket(t)
	listener, err := driver.Listen(t.Context(), busy)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file := socket(t)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for endpoint, tells := range map[string]string{
		busy:                              "another server listens",
		file:                              "is no socket",
		"tcp://127.0.0.1:1":               "unix:///path",
		"unix://":                         "path is missing",
		"":                                "path is missing",
		filepath.Join(file, "x"):          "not a directory",
		filepath.Join(t.TempDir(), "a/b"): "no such file",
	} {
		_, err := driver.Listen(t.Context(), endpoint)
		if !errors.Is(err, driver.ErrEndpoint) || !strings.Contains(err.Error(), tells) {
			t.Errorf("%q: got %v, want ErrEndpoint that tells %q", endpoint, err, tells)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "precious" {
		t.Errorf("the file is %q, %v", data, err)
	}
}
