package shares_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/transport/mtls"
)

const good = `
shares:
  tank:
    server: tcp://10.0.0.5
    aname: /tank
    controllerServer: tcp://tank.example:5640
  pool: {server: "unix:///run/9p.sock?aname=/pool"}
`

func write(t *testing.T, path, content string) {
	t.Helper()
	// Renamed into place, as a ConfigMap's update is.
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, content string) (*shares.Shares, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shares.yaml")
	write(t, path, content)
	s, err := shares.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

func TestLookup(t *testing.T) {
	s, _ := open(t, good)
	for name, want := range map[string][2]string{
		"tank": {"tcp://10.0.0.5/tank", "tcp://tank.example:5640/tank"},
		"pool": {"unix:///run/9p.sock?aname=/pool", "unix:///run/9p.sock?aname=/pool"},
	} {
		got, err := s.Lookup(name)
		if err != nil || got.Server.String() != want[0] || got.Controller.String() != want[1] {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if names, err := s.Names(); err != nil || !slices.Equal(names, []string{"pool", "tank"}) {
		t.Errorf("got %q, %v", names, err)
	}
	if _, err := s.Lookup("lake"); !errors.Is(err, shares.ErrUnknown) || !strings.Contains(err.Error(), "tank") {
		t.Errorf("got %v", err)
	}
}

func TestSharesOfTLS(t *testing.T) {
	s, _ := open(t, `
shares:
  vault:
    server: tls://10.0.0.6/a
    controllerServer: tls://10.1.0.6?serverName=other.example
    tls: {ca: /tls/ca.crt, cert: /tls/tls.crt, key: /tls/tls.key, serverName: vault.example}
  bare: {server: "tls://nas.example"}
`)
	got, err := s.Lookup("vault")
	if err != nil {
		t.Fatal(err)
	}
	if got.Server.String() != "tls://10.0.0.6/a?serverName=vault.example" || got.Controller.String() != "tls://10.1.0.6/a?serverName=other.example" {
		t.Errorf("got %s and %s", got.Server, got.Controller)
	}
	if want := (mtls.Files{CA: "/tls/ca.crt", Certificate: "/tls/tls.crt", Key: "/tls/tls.key"}); got.TLS != want {
		t.Errorf("got %+v, want %+v", got.TLS, want)
	}
	if got, err := s.Lookup("bare"); err != nil || !got.TLS.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestResolve(t *testing.T) {
	s, err := shares.Open("")
	if err != nil {
		t.Fatal(err)
	}
	p, err := params.Parse(map[string]string{"server": "tcp://h", "aname": "/a", "controllerServer": "tcp://c/other"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Resolve(p)
	if err != nil || got.Server.String() != "tcp://h/a" || got.Controller.String() != "tcp://c/other" {
		t.Errorf("got %v, %v", got, err)
	}
	p, err = params.Parse(map[string]string{"share": "tank"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(p); !errors.Is(err, shares.ErrUnknown) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("got %v", err)
	}
}

func TestChangedFileIsReadAgain(t *testing.T) {
	s, path := open(t, good)
	if _, err := s.Lookup("tank"); err != nil {
		t.Fatal(err)
	}
	write(t, path, "shares: {tank: {server: 'tcp://10.0.0.6'}}")
	got, err := s.Lookup("tank")
	if err != nil || got.Server.Host != "10.0.0.6" {
		t.Errorf("got %v, %v", got, err)
	}
	write(t, path, "shares: {tank: {serv: 'tcp://10.0.0.6'}}")
	if _, err := s.Lookup("tank"); !errors.Is(err, shares.ErrConfig) {
		t.Errorf("a broken file: got %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup("tank"); !errors.Is(err, shares.ErrConfig) {
		t.Errorf("a missing file: got %v", err)
	}
	if names, err := s.Names(); err != nil || len(names) > 0 {
		t.Errorf("a missing file: got shares %q, %v", names, err)
	}
	write(t, path, good)
	if _, err := s.Lookup("tank"); err != nil {
		t.Errorf("a good file again: %v", err)
	}
}

// The administrator reads these: they name the file, the share and the key.
func TestOpenRefuses(t *testing.T) {
	for content, tells := range map[string][]string{
		"shares: {tank: {serv: x}}":            {"serv"},
		"share: {}":                            {"share"},
		"shares: {tank: {}}":                   {"tank", "server is missing"},
		"shares: {tank: {server: 'http://h'}}": {"tank", "server", "http"},
		"shares: {tank: {server: 'tcp://h', controllerServer: 'virtio://h'}}":   {"tank", "controllerServer", "device of a node"},
		"shares: {tank: {server: 'tcp://h', tls: {ca: /a, cert: /b, key: /c}}}": {"tank", "tls://"},
		"shares: {tank: {server: 'tls://h', tls: {ca: /a, cert: /b}}}":          {"tank", "tls", "together"},
		"shares: {tank: {server: 'tls://h', tls: {ca: /a, cert: b, key: /c}}}":  {"tank", "\"b\"", "absolute"},
		"shares: {tank: {server: 'tls://h', tls: {ca: /a, kye: /b}}}":           {"kye"},
		"shares: {tank: {server: 'tcp://h', tls: {serverName: nas}}}":           {"tank", "tlsServerName", "tls://"},
		"shares: {tank: {server: 'tcp://h/a', aname: /b}}":                      {"tank", "aname"},
		"shares: {tank: {server: 'tcp://h', controllerServer: x}}":              {"tank", "controllerServer"},
		"shares: {-tank: {server: 'tcp://h'}}":                                  {"-tank", "name"},
		"shares: {a: {server: 'tcp://h'}, a: {}}":                               {"already set"},
		"shares: [": {"yaml"},
	} {
		path := filepath.Join(t.TempDir(), "shares.yaml")
		write(t, path, content)
		_, err := shares.Open(path)
		if !errors.Is(err, shares.ErrConfig) {
			t.Errorf("%s: got %v, want ErrConfig", content, err)
			continue
		}
		for _, word := range append(tells, path) {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not tell %q", content, err, word)
			}
		}
	}
	if _, err := shares.Open(t.TempDir()); !errors.Is(err, shares.ErrConfig) {
		t.Errorf("a directory: got %v", err)
	}
}

func TestFileComesLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shares.yaml")
	s, err := shares.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup("tank"); !errors.Is(err, shares.ErrUnknown) || !strings.Contains(err.Error(), path) {
		t.Errorf("before: got %v", err)
	}
	write(t, path, good)
	if _, err := s.Lookup("tank"); err != nil {
		t.Errorf("after: %v", err)
	}
}
