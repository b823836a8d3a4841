package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type identity struct {
	csi.UnimplementedIdentityServer
}

func (identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: "driver.example.com"}, nil
}

// start runs a registrar beside a driver, and returns kubelet's end, its socket, and the registrar's outcome.
func start(ctx context.Context, t *testing.T) (kubelet registration.RegistrationClient, socket string, outcome <-chan error) {
	t.Helper()
	o := options{csiAddress: filepath.Join(t.TempDir(), "csi.sock"), kubeletPath: "/host/csi.sock", registry: t.TempDir(), timeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o) }() // before the driver
	listener, err := net.Listen("unix", o.csiAddress)
	if err != nil {
		t.Fatal(err)
	}
	driver := grpc.NewServer()
	csi.RegisterIdentityServer(driver, identity{})
	go driver.Serve(listener)
	t.Cleanup(driver.Stop)
	socket = filepath.Join(o.registry, "driver.example.com-reg.sock")
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return registration.NewRegistrationClient(conn), socket, ended
}

func TestRegistration(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	kubelet, socket, outcome := start(ctx, t)
	info, err := kubelet.GetInfo(t.Context(), &registration.InfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if info.GetType() != "CSIPlugin" || info.GetName() != "driver.example.com" || info.GetEndpoint() != "/host/csi.sock" || len(info.GetSupportedVersions()) != 1 {
		t.Errorf("kubelet is told %v", info)
	}
	if _, err := kubelet.NotifyRegistrationStatus(t.Context(), &registration.RegistrationStatus{PluginRegistered: true}); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-outcome; err != nil {
		t.Errorf("the registrar ended with %v", err)
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is left")
	}
}

func TestRegistrarEndsWhenKubeletRefuses(t *testing.T) {
	kubelet, _, outcome := start(t.Context(), t)
	// The answer may be lost with the connection.
	_, _ = kubelet.NotifyRegistrationStatus(t.Context(), &registration.RegistrationStatus{Error: "no such version"})
	if err := <-outcome; err == nil || !strings.Contains(err.Error(), "no such version") {
		t.Errorf("the registrar ended with %v", err)
	}
}

func TestRegistrarEndsWhenItsSocketIsRemoved(t *testing.T) {
	kubelet, socket, outcome := start(t.Context(), t)
	if _, err := kubelet.GetInfo(t.Context(), &registration.InfoRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; err == nil || !strings.Contains(err.Error(), "the registration socket is gone") {
		t.Errorf("the registrar ended with %v", err)
	}
}
