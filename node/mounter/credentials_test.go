package mounter_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// tlsSpec is spec on an exporter with TLS.
func tlsSpec(t *testing.T, e *nodetest.Exporter, id string, c mounter.Credentials) mounter.Spec {
	t.Helper()
	s := spec(t, e, id, id)
	s.Server, s.TLS = e.URL+"/", c
	return s
}

// A secret goes to the mounter and comes out nowhere: neither in its log, nor in
// its answers, nor in its errors.
func TestSecretsStayInside(t *testing.T) {
	nodetest.NoLeaks(t)
	ca := mtlstest.NewCA(t, "ours")
	e := nodetest.ExportTLS(t, mtlstest.Source(t, ca.Server("127.0.0.1")))
	var log journal
	ctx, stop := context.WithCancel(klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log), textlogger.Verbosity(9)))))
	control := &mounter.Client{Path: filepath.Join(nodetest.Dir(t), "mounter.sock")}
	listener, err := mounter.Listen(ctx, "unix://"+control.Path)
	if err != nil {
		t.Fatal(err)
	}
	var volumes mounter.Volumes
	served := make(chan error, 1)
	go func() { served <- mounter.Serve(ctx, listener, &volumes) }()

	good := ca.Client("node-1")
	bad := &mtls.PEM{CA: good.CA, Certificate: good.Certificate, Key: ca.Client("other").Key}
	refused := control.Prepare(t.Context(), tlsSpec(t, e, "v", mounter.Credentials{Secret: bad}))
	if !errors.Is(refused, mtls.ErrSecret) || strings.Contains(refused.Error(), "BEGIN") {
		t.Errorf("a key of another certificate: %v", refused)
	}
	if err := control.Prepare(t.Context(), tlsSpec(t, e, "v", mounter.Credentials{Secret: good})); err != nil {
		t.Fatal(err)
	}
	if err := control.Renew(t.Context(), "v", ca.Client("node-1")); err != nil {
		t.Error(err)
	}
	status, err := control.Status(t.Context(), "v")
	if err != nil || status.Spec.TLS != (mounter.Credentials{}) {
		t.Errorf("the answer has %v, %v", status.Spec.TLS, err)
	}
	if err := control.Release(t.Context(), "v"); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if log.count("prepare") == 0 || log.count("Renewed the credentials") != 1 || log.count("BEGIN") > 0 {
		t.Errorf("the log:\n%s", log.text.String())
	}
}

// Volumes share a session only if they show the same certificate; one that was
// renewed is found by the new one.
func TestSessionsAreOfOneCertificate(t *testing.T) {
	nodetest.NoLeaks(t)
	ca := mtlstest.NewCA(t, "ours")
	e := nodetest.ExportTLS(t, mtlstest.Source(t, ca.Server("127.0.0.1")))
	a, b := mounter.Credentials{Secret: ca.Client("tenant")}, mounter.Credentials{Secret: ca.Client("tenant")}
	own := mtlstest.Source(t, ca.Client("mounter"))
	volumes := mounter.Volumes{Options: mounter.Options{TLS: own}}
	connections := func(want int64, why string) {
		t.Helper()
		if got := e.Connections.Load(); got != want {
			t.Errorf("%s: %d connections, want %d", why, got, want)
		}
	}
	prepare := func(id string, c mounter.Credentials) {
		t.Helper()
		if err := volumes.Prepare(t.Context(), tlsSpec(t, e, id, c)); err != nil {
			t.Fatal(err)
		}
	}
	prepare("v1", a)
	prepare("v2", a)
	connections(1, "two volumes with one secret")
	prepare("v3", b)
	connections(2, "a volume with another secret")
	prepare("v4", mounter.Credentials{})
	connections(3, "a volume with the mounter's own")
	renewed := ca.Client("tenant")
	if err := volumes.Renew(t.Context(), "v1", renewed); err != nil {
		t.Fatal(err)
	}
	connections(4, "the trial of a renewed secret")
	prepare("v5", mounter.Credentials{Secret: renewed})
	connections(4, "a volume with the renewed secret")
	if err := volumes.Renew(t.Context(), "v1", b.Secret); err != nil {
		t.Fatal(err)
	}
	connections(5, "the trial of a secret that another session has")
	prepare("v6", b)
	connections(5, "a volume with the secret that two sessions have")
	if all := volumes.ServerStats(); len(all) != 1 || all[0].Connected != 3 {
		t.Errorf("counted are %+v, want 3 sessions", all)
	}
	for _, id := range []string{"v1", "v2", "v3", "v4", "v5", "v6"} {
		if err := volumes.Release(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if all := volumes.ServerStats(); len(all) != 0 {
		t.Errorf("left are %+v", all)
	}
}

// A secret does not become what volumes without one show.
func TestASecretLeavesTheMountersOwnCertificate(t *testing.T) {
	nodetest.NoLeaks(t)
	ca := mtlstest.NewCA(t, "ours")
	e := nodetest.ExportTLS(t, mtlstest.Source(t, ca.Server("127.0.0.1")))
	own, err := mtls.OpenFiles(mtlstest.Write(t, t.TempDir(), ca.Client("mounter")))
	if err != nil {
		t.Fatal(err)
	}
	volumes := mounter.Volumes{Options: mounter.Options{TLS: own}}
	secret := ca.Client("tenant")
	for _, step := range []struct {
		id          string
		credentials mounter.Credentials
		connections int64
	}{
		{"staged-without", mounter.Credentials{}, 1},
		{"without", mounter.Credentials{}, 1},
		{"with", mounter.Credentials{Secret: secret}, 2},
	} {
		if err := volumes.Prepare(t.Context(), tlsSpec(t, e, step.id, step.credentials)); err != nil {
			t.Fatal(err)
		}
		if err := volumes.Renew(t.Context(), "staged-without", secret); err != nil {
			t.Fatal(err)
		}
		if got := e.Connections.Load(); got != step.connections {
			t.Errorf("%s: %d connections, want %d", step.id, got, step.connections)
		}
	}
	for _, id := range []string{"staged-without", "without", "with"} {
		if err := volumes.Release(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
}

// Files are read again at each connection, by the mounter itself.
func TestFilesAreRenewed(t *testing.T) {
	nodetest.NoLeaks(t)
	ca, next := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "next")
	server := ca.Server("127.0.0.1")
	serverDir, clientDir := t.TempDir(), t.TempDir()
	source, err := mtls.OpenFiles(mtlstest.Write(t, serverDir, server))
	if err != nil {
		t.Fatal(err)
	}
	e := nodetest.ExportTLS(t, source)
	var volumes mounter.Volumes
	var log journal
	logged := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log))))
	c := mounter.Credentials{Files: mtlstest.Write(t, clientDir, ca.Client("node-1"))}
	if err := volumes.Prepare(logged, tlsSpec(t, e, "v", c)); err != nil {
		t.Fatal(err)
	}
	mtlstest.Write(t, serverDir, next.Trusting(server))
	e.Kill()
	e.Start()
	nodetest.Eventually(t, "the session is refused", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := volumes.Prepare(ctx, tlsSpec(t, e, "w", c))
		if err == nil { // the loss was not noticed yet
			_ = volumes.Release(t.Context(), "w")
		}
		return errors.Is(err, transport.ErrRefused)
	})
	refusals := e.Connections.Load()
	nodetest.Eventually(t, "the session tries on", func() bool { return e.Connections.Load() > refusals+1 })
	if n := log.count("trying on"); n != 1 {
		t.Errorf("%d lines of the log tell of one refusal:\n%s", n, log.text.String())
	}
	mtlstest.Write(t, clientDir, ca.Trusting(next.Client("node-1")))
	nodetest.Eventually(t, "the session is back", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := volumes.Stats(ctx, "v")
		return err == nil
	})
	if err := volumes.Release(t.Context(), "v"); err != nil {
		t.Error(err)
	}
}
