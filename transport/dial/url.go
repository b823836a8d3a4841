// Package dial turns a server's URL into a connection or a listener. It is the
// one place that knows every transport.
package dial

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Schemes of server URLs.
const (
	TCP    = "tcp"
	TLS    = "tls"
	Unix   = "unix"
	VSock  = "vsock"
	Virtio = "virtio"
)

// DefaultPort is 9P's, of TCP (IANA: 9pfs) and by the same custom of vsock.
const DefaultPort = 564

// maxUnixPath is what sun_path of struct sockaddr_un holds besides its NUL
// (unix(7)).
const maxUnixPath = 107

// ErrURL is wrapped by the error of a URL that is none of a server.
var ErrURL = errors.New("bad server URL")

// forms are the URLs that each scheme takes.
var forms = map[string]string{
	TCP:    "tcp://host[:564][/aname]",
	TLS:    "tls://host[:564][/aname][?serverName=name]",
	Unix:   "unix:///path[?aname=/x]",
	VSock:  "vsock://cid[:564][/aname]",
	Virtio: "virtio://mount_tag",
}

// URL names a 9P server. URLs that name the same server in the same words are
// equal with ==.
type URL struct {
	// Scheme is one of the constants above.
	Scheme string
	// Host is the name or address of a tcp or tls server, without brackets and
	// in lower case; the mount tag of a virtio device.
	Host string
	// CID is the context id of a vsock server (vsock(7)).
	CID uint32
	// Port is the port of a tcp, tls or vsock server. 0 lets Listen choose and is
	// nowhere to dial to.
	Port uint32
	// Path is the path of a unix socket.
	Path string
	// Aname is the tree to attach; empty where the URL names none.
	Aname string
	// ServerName is what a tls server's certificate must be for; empty: Host.
	ServerName string
}

// Parse reads a server URL. Its errors wrap ErrURL, and name the part that is
// wrong and the form expected.
func Parse(s string) (URL, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	form, known := forms[scheme]
	if !ok || !known {
		return URL{}, fmt.Errorf("%w %q: it must begin with tcp://, unix://, vsock://, tls:// or virtio://", ErrURL, s)
	}
	u := URL{Scheme: scheme}
	if err := u.parse(rest); err != nil {
		return URL{}, fmt.Errorf("%w %q: %w; expected %s", ErrURL, s, err, form)
	}
	return u, nil
}

// parse reads what follows the scheme.
func (u *URL) parse(rest string) (err error) {
	if strings.ContainsRune(rest, '#') {
		return errors.New("a # must be written %23")
	}
	rest, query, asked := strings.Cut(rest, "?")
	if asked && u.Scheme != Unix && u.Scheme != TLS {
		return fmt.Errorf("%q has no place here", "?"+query)
	}
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if path, err = unescape("path", path); err != nil {
		return err
	}
	switch u.Scheme {
	case Unix:
		return u.parseUnix(authority, path, query, asked)
	case Virtio:
		return u.parseVirtio(authority, path)
	}
	u.Aname = path
	if asked {
		if u.ServerName, err = parseServerName(query); err != nil {
			return err
		}
	}
	host, port, err := splitPort(authority)
	if err != nil {
		return err
	}
	if u.Scheme == VSock {
		return u.parseVSock(host, port)
	}
	return u.parseTCP(host, port)
}

func (u *URL) parseTCP(host, port string) (err error) {
	if u.Port, err = number("port", port, 65535); err != nil {
		return err
	}
	u.Host, err = parseHost(host)
	return err
}

// parseServerName reads the query of a tls URL.
func parseServerName(query string) (string, error) {
	value, ok := strings.CutPrefix(query, "serverName=")
	if !ok {
		return "", fmt.Errorf("%q: only serverName can follow", "?"+query)
	}
	return ServerName(value)
}

// ServerName checks the name that a certificate is expected to be for, a host
// name or an address without brackets, and returns it in lower case.
func ServerName(s string) (string, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return addr.String(), nil
	}
	name, err := parseHost(s)
	if err != nil || strings.HasPrefix(s, "[") {
		return "", fmt.Errorf("server name %q: it is neither a host name nor an address", s)
	}
	return name, nil
}

func (u *URL) parseVSock(host, port string) (err error) {
	if u.CID, err = number("context id", host, 1<<32-1); err != nil {
		return err
	}
	u.Port, err = number("port", port, 1<<32-1)
	return err
}

func (u *URL) parseUnix(authority, path, query string, asked bool) (err error) {
	switch {
	case authority != "":
		return fmt.Errorf("host %q: a unix socket has a path and no host, so three slashes follow the colon", authority)
	case path == "" || path == "/":
		return errors.New("the path of the socket is missing")
	case len(path) > maxUnixPath:
		return fmt.Errorf("the path has %d bytes, a unix socket takes %d", len(path), maxUnixPath)
	}
	u.Path = path
	if !asked {
		return nil
	}
	value, ok := strings.CutPrefix(query, "aname=")
	if !ok || value == "" || strings.ContainsRune(value, '&') {
		return fmt.Errorf("%q: only aname can follow the path", "?"+query)
	}
	u.Aname, err = unescape("aname", value)
	return err
}

func (u *URL) parseVirtio(tag, path string) (err error) {
	if path != "" {
		return fmt.Errorf("%q after the mount tag", path)
	}
	if u.Host, err = unescape("mount tag", tag); err == nil && u.Host == "" {
		err = errors.New("the mount tag is missing")
	}
	return err
}

// splitPort splits host[:port]; the port defaults to DefaultPort.
func splitPort(authority string) (host, port string, err error) {
	switch colons := strings.Count(authority, ":"); {
	case strings.ContainsRune(authority, '@'):
		return "", "", fmt.Errorf("host %q: 9P has no user in the URL", authority)
	case strings.HasPrefix(authority, "["):
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return "", "", fmt.Errorf("host %q: the closing bracket is missing", authority)
		}
		host, port = authority[:end+1], authority[end+1:]
		if port != "" && port[0] != ':' {
			return "", "", fmt.Errorf("host %q: %q follows the bracket", authority, port)
		}
	case colons > 1:
		return "", "", fmt.Errorf("host %q: an IPv6 address goes in brackets", authority)
	case colons == 1:
		i := strings.IndexByte(authority, ':')
		host, port = authority[:i], authority[i:]
	default:
		host = authority
	}
	if port == "" {
		return host, strconv.Itoa(DefaultPort), nil
	}
	return host, port[1:], nil
}

// parseHost checks a host name or address.
func parseHost(s string) (string, error) {
	if literal, ok := strings.CutPrefix(s, "["); ok {
		// RFC 6874: the % before an IPv6 zone is written %25.
		literal = strings.Replace(strings.TrimSuffix(literal, "]"), "%25", "%", 1)
		addr, err := netip.ParseAddr(literal)
		if err != nil || !addr.Is6() || !plainName(addr.Zone()) {
			return "", fmt.Errorf("host %q: no IPv6 address is in the brackets", s)
		}
		return addr.String(), nil
	}
	if s == "" {
		return "", errors.New("the host is missing")
	}
	if !plainName(s) {
		return "", fmt.Errorf("host %q: a name has letters, digits, dots, hyphens and underscores", s)
	}
	return strings.ToLower(s), nil
}

// plainName reports whether s has nothing that is not in a host's name.
func plainName(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("-._", r)
	}) < 0
}

// number reads a decimal number up to limit.
func number(part, s string, limit uint64) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%s %q: it is no number up to %d", part, s, limit)
	}
	return uint32(n), nil
}

// unescape decodes %xx and refuses NUL, which no path and no aname holds.
func unescape(part, s string) (string, error) {
	d, err := url.PathUnescape(s)
	if err != nil {
		return "", fmt.Errorf("%s %q: %% is not followed by two hexadecimal digits; write %%25 for a percent sign", part, s)
	}
	if strings.ContainsRune(d, 0) {
		return "", fmt.Errorf("%s %q: it holds a NUL", part, s)
	}
	return d, nil
}

// String is the URL as Parse reads it, without the default port.
func (u URL) String() string {
	switch u.Scheme {
	case Unix:
		s := "unix://" + escape(u.Path)
		if u.Aname != "" {
			s += "?aname=" + strings.ReplaceAll(escape(u.Aname), "&", "%26")
		}
		return s
	case Virtio:
		return "virtio://" + url.PathEscape(u.Host)
	}
	host := u.Host
	if u.Scheme == VSock {
		host = strconv.FormatUint(uint64(u.CID), 10)
	}
	if strings.ContainsRune(host, ':') {
		host = "[" + strings.Replace(host, "%", "%25", 1) + "]"
	}
	if u.Port != DefaultPort {
		host += ":" + strconv.FormatUint(uint64(u.Port), 10)
	}
	s := u.Scheme + "://" + host + escape(u.Aname)
	if u.ServerName != "" {
		s += "?serverName=" + u.ServerName
	}
	return s
}

// Through is the way to u by the process that has the sessions to it, which speaks
// 9P at a unix socket for who attaches there by u (csi-9p mounter
// --sessions-listen): a server like any other, whose tree has u for its name.
func (u URL) Through(socket string) URL { return URL{Scheme: Unix, Path: socket, Aname: u.String()} }

// Address is where a tcp or tls URL points, as package net takes it.
func (u URL) Address() string {
	return net.JoinHostPort(u.Host, strconv.FormatUint(uint64(u.Port), 10))
}

// escape encodes a path.
func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }
