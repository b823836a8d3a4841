package mtls_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// journal returns a context whose log goes to a buffer.
func journal(t *testing.T) (context.Context, *bytes.Buffer) {
	var log bytes.Buffer
	return klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log)))), &log
}

// shows checks which certificate a client of these files shows to a server.
func shows(ctx context.Context, t *testing.T, s *mtls.FileSource, ca *mtlstest.CA, want string) {
	t.Helper()
	now, err := s.Credentials(ctx)
	if err != nil {
		t.Fatal(err)
	}
	address, handshake := listen(t, mtlstest.Source(t, ca.Server(host)))
	if err := connect(t, address, host, now); err != nil {
		t.Errorf("as %s: %v", want, err)
	}
	if err := <-handshake; err != nil {
		t.Errorf("as %s, the server: %v", want, err)
	}
	if got := now.Subject(); got != "CN="+want {
		t.Errorf("the certificate is %s, want %s", got, want)
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	dir := t.TempDir()
	s, err := mtls.OpenFiles(mtlstest.Write(t, dir, ca.Client("first")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, log := journal(t)
	shows(ctx, t, s, ca, "first")
	second := ca.Client("second")
	mtlstest.Write(t, dir, second)
	shows(ctx, t, s, ca, "second")

	// A half-written file, and one whose key is still to come.
	third := ca.Client("third")
	half := *third
	half.Certificate = half.Certificate[:100]
	mtlstest.Write(t, dir, &half)
	shows(ctx, t, s, ca, "second")
	half.Certificate, half.Key = third.Certificate, second.Key
	mtlstest.Write(t, dir, &half)
	for range 3 {
		shows(ctx, t, s, ca, "second")
	}
	if n := strings.Count(log.String(), "Changed TLS files"); n != 2 {
		t.Errorf("%d lines about two bad changes:\n%s", n, log)
	}
	mtlstest.Write(t, dir, third)
	shows(ctx, t, s, ca, "third")
	if err := os.Remove(filepath.Join(dir, "tls.key")); err != nil {
		t.Fatal(err)
	}
	shows(ctx, t, s, ca, "third")
	if !strings.Contains(log.String(), "no such file") {
		t.Errorf("the log has nothing of the missing file:\n%s", log)
	}
}

// Kubernetes swaps one symbolic link under all files of a Secret's volume.
func TestMountedSecretIsReadAgain(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	dir := t.TempDir()
	swap := func(version string, p *mtls.PEM) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		mtlstest.Write(t, filepath.Join(dir, version), p)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", ca.Client("first"))
	var files mtls.Files
	for name, path := range map[string]*string{"ca.crt": &files.CA, "tls.crt": &files.Certificate, "tls.key": &files.Key} {
		*path = filepath.Join(dir, name)
		if err := os.Symlink(filepath.Join("..data", name), *path); err != nil {
			t.Fatal(err)
		}
	}
	s, err := mtls.OpenFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	shows(t.Context(), t, s, ca, "first")
	swap("..2", ca.Client("second"))
	shows(t.Context(), t, s, ca, "second")
}

func TestFilesThatComeLater(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	dir := t.TempDir()
	s, err := mtls.ExpectFiles(mtls.Files{CA: dir + "/ca.crt", Certificate: dir + "/tls.crt", Key: dir + "/tls.key"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Credentials(t.Context()); !errors.Is(err, mtls.ErrFiles) || !strings.Contains(err.Error(), dir+"/ca.crt") {
			t.Errorf("before they are there: %v", err)
		}
	}
	mtlstest.Write(t, dir, ca.Client("first"))
	shows(t.Context(), t, s, ca, "first")
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	for _, test := range []struct {
		name   string
		change func(*mtls.Files)
		words  []string
	}{
		{"a key is not named", func(f *mtls.Files) { f.Key = "" }, []string{"key is missing"}},
		{"a file is missing", func(f *mtls.Files) { f.CA += ".not" }, []string{"ca.crt.not", "no such file"}},
		{"a directory", func(f *mtls.Files) { f.CA = filepath.Dir(f.CA) }, []string{"not a file"}},
		{"the files are mixed up", func(f *mtls.Files) { f.Certificate, f.Key = f.Key, f.Certificate }, []string{"tls.key", "BEGIN CERTIFICATE"}},
	} {
		files := mtlstest.Write(t, t.TempDir(), ca.Client("c"))
		test.change(&files)
		_, err := mtls.OpenFiles(files)
		if !errors.Is(err, mtls.ErrFiles) {
			t.Errorf("%s: %v, want ErrFiles", test.name, err)
		}
		says(t, test.name, err, test.words...)
	}
}
