package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
)

// checkName resolves the host of a URL that has a name.
func (s *server) checkName(ctx context.Context) Check {
	host := s.url.Host
	if s.url.Scheme != dial.TCP && s.url.Scheme != dial.TLS {
		return Check{}
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return Check{}
	}
	c := Check{Name: "name", Status: OK}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		c.Status, c.Found = Fail, err.Error()
		c.Cure = "check the name, and the resolver of this machine (/etc/resolv.conf); the node service and the mounter use the node's"
		return c
	}
	c.Found = host + " is " + strings.Join(found, ", ")
	return c
}

// checkConnection connects and hangs up, without TLS.
func (s *server) checkConnection(ctx context.Context) Check {
	if s.url.Scheme == dial.Virtio {
		return Check{}
	}
	plain := s.url
	if plain.Scheme == dial.TLS {
		plain.Scheme, plain.ServerName = dial.TCP, ""
	}
	return s.connect(ctx, "connection", plain, nil)
}

// checkCertificate connects with TLS.
func (s *server) checkCertificate(ctx context.Context) Check {
	if s.url.Scheme != dial.TLS {
		return Check{}
	}
	return s.connect(ctx, "TLS", s.url, s.options.TLS)
}

func (s *server) connect(ctx context.Context, name string, u dial.URL, tls mtls.Source) Check {
	c := Check{Name: name, Status: OK}
	start := time.Now()
	conn, err := s.machine.Dial(ctx, u, dial.Options{TLS: tls})
	if err != nil {
		c.Status, c.Found, c.Cure = Fail, err.Error(), connectionCure(u, err)
		return c
	}
	c.Found = fmt.Sprintf("made in %v", time.Since(start).Round(10*time.Microsecond))
	if tls != nil {
		c.Found = "both ends trust each other's certificates; " + c.Found
	}
	hangUp(conn)
	return c
}

// hangUp ends a connection that is of no further use, and waits for the end, when a device has been given back. It reports whether
// that came within stepTimeout, whoever has no time left.
func hangUp(conn transport.Conn) bool {
	_ = conn.Close() // never fails
	select {
	case <-conn.Lost():
		return true
	case <-time.After(stepTimeout):
		return false
	}
}

// connectionCure says what to do about a server that cannot be reached.
func connectionCure(u dial.URL, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, mtls.ErrNone):
		return "give --tls-ca, --tls-cert and --tls-key"
	case mtls.IsSetup(err):
		return "the text says what to mend; docs/security.md has how certificates are made and shown"
	case errors.Is(err, unix.ECONNREFUSED), u.Scheme == dial.VSock && errors.Is(err, unix.ECONNRESET): // as vsock refuses
		return "nothing listens there: start the server, check the port"
	case errors.Is(err, os.ErrNotExist):
		return "start the server, check the path of its socket"
	case errors.Is(err, os.ErrPermission):
		return "let this user at the socket, or run it as root"
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return "there is no way to it: check the address and the routes of this machine"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "nobody answers: check the address, and firewalls and NetworkPolicies between here and " + cmp.Or(u.Host, "it")
	case u.Scheme == dial.TLS:
		return "does the server speak TLS on that port?"
	case u.Scheme == dial.VSock:
		return "load the module for that context id, as the text says, and check the id"
	}
	return "check the address, and that the server runs"
}
