package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// identity answers Probe as it is told.
type identity struct {
	csi.UnimplementedIdentityServer
	answer func(context.Context) (*csi.ProbeResponse, error)
}

func (i identity) Probe(ctx context.Context, _ *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return i.answer(ctx)
}

func TestHealthz(t *testing.T) {
	ready := func(v *wrapperspb.BoolValue) func(context.Context) (*csi.ProbeResponse, error) {
		return func(context.Context) (*csi.ProbeResponse, error) { return &csi.ProbeResponse{Ready: v}, nil }
	}
	for _, tc := range []struct {
		name   string
		answer func(context.Context) (*csi.ProbeResponse, error)
		status int
		body   string
	}{
		{"ready", ready(wrapperspb.Bool(true)), http.StatusOK, "ok"},
		{"it does not say", ready(nil), http.StatusOK, "ok"},
		{"not ready", ready(wrapperspb.Bool(false)), http.StatusInternalServerError, "not ready"},
		{"an error", func(context.Context) (*csi.ProbeResponse, error) {
			return nil, status.Error(codes.FailedPrecondition, "no mounter")
		}, http.StatusInternalServerError, "no mounter"},
		{"no answer", func(ctx context.Context) (*csi.ProbeResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, http.StatusInternalServerError, "DeadlineExceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, body := healthz(t, identity{answer: tc.answer})
			if got != tc.status || !strings.Contains(body, tc.body) {
				t.Errorf("got %d %q, want %d with %q", got, body, tc.status, tc.body)
			}
		})
	}
}

// healthz asks a probe beside a driver.
func healthz(t *testing.T, driver identity) (status int, body string) {
	t.Helper()
	address := filepath.Join(t.TempDir(), "csi.sock")
	listener, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	csi.RegisterIdentityServer(server, driver)
	go server.Serve(listener)
	defer server.Stop()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := free.Addr().String()
	free.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, address, endpoint, 100*time.Millisecond) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for {
		reply, err := http.Get("http://" + endpoint + "/healthz")
		if err != nil {
			continue // it is about to listen
		}
		b, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(b)
	}
}
