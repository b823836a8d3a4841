package mtls_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
)

const host = "nas.example"

// listen accepts one connection, tells how its handshake went, and then sends
// back what comes.
func listen(t *testing.T, from mtls.Source) (address string, handshake <-chan error) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := mtls.NewListener(plain, from)
	result, done := make(chan error, 1), make(chan struct{})
	ctx, stop := context.WithTimeoutCause(context.Background(), 10*time.Second, errors.New("too slow"))
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			result <- err
			return
		}
		defer c.Close()
		err = c.(*mtls.Conn).HandshakeContext(ctx)
		result <- err
		if err == nil {
			_, _ = io.Copy(c, c)
		}
	}()
	t.Cleanup(func() { stop(); l.Close(); <-done })
	return plain.Addr().String(), result
}

// connect makes a client's connection and has a byte sent back.
func connect(t *testing.T, address, name string, from mtls.Source) error {
	t.Helper()
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mtls.Client(t.Context(), plain, name, from)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func says(t *testing.T, who string, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s says: %v; it does not tell %q", who, err, word)
		}
	}
}

func TestBothEndsSayWhatIsWrong(t *testing.T) {
	ca, other := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "theirs")
	issue := func(ca *mtlstest.CA, usage x509.ExtKeyUsage, change func(*x509.Certificate)) *mtls.PEM {
		return ca.Issue("leaf", func(c *x509.Certificate) {
			c.DNSNames, c.ExtKeyUsage = []string{host}, []x509.ExtKeyUsage{usage}
			change(c)
		})
	}
	server, client := ca.Server(host, "10.0.0.5"), ca.Client("node-1")
	for _, test := range []struct {
		name           string
		server, client *mtls.PEM
		to             string
		cause          error
		onClient       []string
		onServer       []string
	}{
		{name: "all is well", server: server, client: client, to: host},
		{name: "by address", server: server, client: client, to: "10.0.0.5"},
		{
			name: "client of another authority", server: server, client: ca.Trusting(other.Client("intruder")), to: host,
			cause: transport.ErrRefused, onClient: []string{"refused by the server", "tls.crt", "CN=intruder", "CN=theirs", "--tls-client-ca"},
			onServer: []string{"CN=intruder", "CN=theirs", "client CA file does not hold", "issue it by one"},
		},
		{
			name: "client expired", server: server, client: issue(ca, x509.ExtKeyUsageClientAuth, mtlstest.Expired), to: host,
			cause: transport.ErrRefused, onClient: []string{"CN=leaf", "expired", "renew it", "clocks"},
			onServer: []string{"CN=leaf", "expired at", "renew it for the client"},
		},
		{
			name: "client not yet valid", server: server, client: issue(ca, x509.ExtKeyUsageClientAuth, mtlstest.Future), to: host,
			cause: transport.ErrRefused, onClient: []string{"not valid yet", "clocks"}, onServer: []string{"is not valid before", "clocks"},
		},
		{
			name: "client with a server's certificate", server: server, client: ca.Server("node-1"), to: host,
			cause: transport.ErrRefused, onClient: []string{"clientAuth"}, onServer: []string{"clientAuth"},
		},
		{
			name: "server of another authority", server: ca.Trusting(other.Server(host)), client: client, to: host,
			cause: mtls.ErrServer, onClient: []string{"CN=theirs", "ca.crt does not hold", "put the server's authority there"},
			onServer: []string{"does not accept this server's certificate", "ca.crt"},
		},
		{
			name: "server expired", server: issue(ca, x509.ExtKeyUsageServerAuth, mtlstest.Expired), client: client, to: host,
			cause: mtls.ErrServer, onClient: []string{"CN=leaf", "expired at", "renew it on the server"}, onServer: []string{"server's certificate"},
		},
		{
			name: "server not yet valid", server: issue(ca, x509.ExtKeyUsageServerAuth, mtlstest.Future), client: client, to: host,
			cause: mtls.ErrServer, onClient: []string{"is not valid before", "clocks"}, onServer: []string{"server's certificate"},
		},
		{
			name: "server of another name", server: server, client: client, to: "10.0.0.6",
			cause: mtls.ErrServer, onClient: []string{`"nas.example 10.0.0.5"`, `not for "10.0.0.6"`, "tlsServerName"}, onServer: []string{"server's certificate"},
		},
		{
			name: "server without a name", server: ca.Server(), client: client, to: host,
			cause: mtls.ErrServer, onClient: []string{"is for no host", host, "subject alternative name"}, onServer: []string{"server's certificate"},
		},
		{
			name: "server with a client's certificate", server: issue(ca, x509.ExtKeyUsageClientAuth, func(*x509.Certificate) {}), client: client, to: host,
			cause: mtls.ErrServer, onClient: []string{"serverAuth"}, onServer: []string{"server's certificate"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			address, handshake := listen(t, mtlstest.Source(t, test.server))
			err := connect(t, address, test.to, mtlstest.Source(t, test.client))
			if !errors.Is(err, test.cause) || mtls.IsSetup(err) != (test.cause != nil) {
				t.Errorf("the client got %v, want %v", err, test.cause)
			}
			says(t, "the client", err, test.onClient...)
			served := <-handshake
			if (served == nil) != (test.cause == nil) {
				t.Errorf("the server got %v", served)
			}
			says(t, "the server", served, test.onServer...)
		})
	}
}

// What a client is refused for is no trouble of the network's, which would be
// tried again for long.
func TestARefusalIsNoNetworkError(t *testing.T) {
	ca, other := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "theirs")
	for name, pair := range map[string][2]*mtls.PEM{
		"by the server": {ca.Server(host), ca.Trusting(other.Client("c"))},
		"by the client": {ca.Trusting(other.Server(host)), ca.Client("c")},
	} {
		address, _ := listen(t, mtlstest.Source(t, pair[0]))
		err := connect(t, address, host, mtlstest.Source(t, pair[1]))
		var network net.Error
		if err == nil || errors.As(err, &network) {
			t.Errorf("%s: %v passes for a network's error", name, err)
		}
	}
}

func TestAnotherKindOfClient(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	server := mtlstest.Source(t, ca.Server(host))
	clientConfig := func(change func(*tls.Config)) *tls.Config {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca.Client("c").CA)
		config := &tls.Config{RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS12}
		change(config)
		return config
	}
	for _, test := range []struct {
		name     string
		talk     func(net.Conn) error
		onServer string
	}{
		{"TLS 1.2", func(c net.Conn) error {
			return tls.Client(c, clientConfig(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })).HandshakeContext(t.Context())
		}, "TLS 1.3"},
		{"no certificate", func(c net.Conn) error {
			bare := tls.Client(c, clientConfig(func(*tls.Config) {}))
			if _, err := bare.Write([]byte{1}); err != nil {
				return err
			}
			_, err := bare.Read(make([]byte, 1))
			return err
		}, "showed no certificate"},
		{"plain 9P", func(c net.Conn) error {
			if _, err := io.WriteString(c, "\x15\x00\x00\x00\x64\xff\xff\x18\x00\x40\x00\x08\x009P2000.L"); err != nil {
				return err
			}
			_, err := c.Read(make([]byte, 1))
			return err
		}, "tls:// URL"},
		{"silence, then its end", func(c net.Conn) error { return errors.Join(errors.New("silent"), c.Close()) }, "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address, handshake := listen(t, server)
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := test.talk(c); err == nil {
				t.Error("the server served it")
			}
			says(t, "the server", <-handshake, test.onServer)
		})
	}
}

func TestAnotherKindOfServer(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	client := mtlstest.Source(t, ca.Client("c"))
	t.Run("a server of TLS 1.2", func(t *testing.T) {
		err := connectTo(t, client, func(c net.Conn) {
			own := ca.Server(host)
			pair, _ := tls.X509KeyPair(own.Certificate, own.Key)
			_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12, MinVersion: tls.VersionTLS12}).HandshakeContext(t.Context())
		})
		if !errors.Is(err, mtls.ErrServer) {
			t.Errorf("got %v, want ErrServer", err)
		}
		says(t, "the client", err, "TLS 1.3")
	})
	t.Run("a plain server", func(t *testing.T) {
		err := connectTo(t, client, func(c net.Conn) { _, _ = io.WriteString(c, "220 smtp.example ready\r\n") })
		if !errors.Is(err, mtls.ErrServer) {
			t.Errorf("got %v, want ErrServer", err)
		}
		says(t, "the client", err, "not TLS", "tcp://")
	})
	t.Run("a server that closes", func(t *testing.T) {
		err := connectTo(t, client, func(net.Conn) {})
		if err == nil || mtls.IsSetup(err) {
			t.Errorf("got %v, want one that may pass", err)
		}
		says(t, "the client", err, "closed the connection during the TLS handshake", "lets this address in")
	})
	t.Run("a silent server", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		near, far := net.Pipe()
		defer far.Close()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		_, err := mtls.Client(ctx, near, host, client)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a deadline's", err)
		}
	})
}

// connectTo connects to a server that does what it is told and closes.
func connectTo(t *testing.T, from mtls.Source, serve func(net.Conn)) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		serve(c)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}()
	defer func() { l.Close(); <-done }()
	return connect(t, l.Addr().String(), host, from)
}
