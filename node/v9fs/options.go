package v9fs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/transport/dial"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// caches are v9fs' names of cache modes (Documentation/filesystems/9p.rst). Its mmap is the least with which files can be mapped
// for writing, as they can with close-to-open.
var caches = map[params.Cache]string{
	params.CacheNone:        "none",
	params.CacheCloseToOpen: "mmap",
	params.CacheLoose:       "loose",
}

// Options returns what mount(2) is to be told: the device, which to v9fs is an address, a path or a mount tag, and the options.
// The server's name is resolved here; v9fs knows addresses alone. cache is not auto.
func Options(ctx context.Context, server dial.URL, p params.Parameters, cache params.Cache) (device string, options []string, err error) {
	if err := p.CheckEngine(server); err != nil {
		return "", nil, err
	}
	options = []string{"trans=" + server.Scheme}
	switch server.Scheme {
	case dial.TCP:
		if device, err = address(ctx, server.Host); err != nil {
			return "", nil, err
		}
		options = append(options, "port="+strconv.FormatUint(uint64(server.Port), 10))
	case dial.Unix:
		device = server.Path
	case dial.Virtio:
		device = server.Host
	}
	options = append(options,
		"version="+strings.Replace(string(p.Dialect), "9P", "9p", 1),
		"msize="+strconv.FormatUint(uint64(p.KernelMsize(server.Scheme)), 10),
		"cache="+caches[cache],
	)
	options = append(options, identity(p)...)
	if strings.ContainsRune(server.Aname, ',') {
		return "", nil, &params.Error{Key: "aname", Value: server.Aname, Reason: "the kernel's client takes no comma in it; take engine: embedded"}
	}
	if server.Aname != "" {
		options = append(options, "aname="+server.Aname)
	}
	return device, options, nil
}

// identity says who to be. With access=any there is one attach, which v9fs makes by name alone (v9fs_session_init attaches without
// a number), so that the number goes as a name; with access=user each uid attaches by its own number.
func identity(p params.Parameters) []string {
	id := strconv.FormatUint(uint64(p.AttachUID), 10)
	name := id
	if p.AttachUID == 0 {
		name = "root"
	}
	access := "access=user"
	if p.Access == params.AccessSingle {
		access = "access=any"
	}
	return []string{access, "uname=" + name, "dfltuid=" + id}
}

// address resolves a host's name. Until Linux 6.18 v9fs takes IPv4 addresses alone (net/9p/trans_fd.c, valid_ipaddr4).
func address(ctx context.Context, host string) (string, error) {
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", driver.Errorf(codes.Unavailable, "server tcp://%s: %w; check the name, and the node's resolver", host, err)
	}
	for _, a := range found {
		if ip, err := netip.ParseAddr(a); err == nil && ip.Is4() {
			return a, nil
		}
	}
	return "", &params.Error{Key: "server", Value: host, Reason: "the kernel's client needs an IPv4 address, and the host has none; take engine: embedded"}
}

// explain says what to do about an error of mount(2).
func explain(server dial.URL, err error) error {
	module := "9pnet_fd"
	if server.Scheme == dial.Virtio {
		module = "9pnet_virtio"
	}
	const other = "or take engine: embedded, which needs no module"
	switch {
	case errors.Is(err, unix.ENODEV):
		return driver.Errorf(codes.FailedPrecondition, "engine kernel: %w: the kernel has no 9P client: run 'modprobe 9p' on the node, "+
			"if its kernel has that module (cloud kernels and the RHEL family leave it out), %s", err, other)
	case errors.Is(err, unix.EBUSY) && server.Scheme == dial.Virtio:
		return driver.Errorf(codes.FailedPrecondition, "device %s: %w: it is one session, and another mount of it or another process has it", server, err)
	case errors.Is(err, unix.ENOENT) && server.Scheme == dial.Virtio:
		return driver.Errorf(codes.FailedPrecondition, "device %s: %w: no device that the kernel's 9P client holds has that mount tag: "+
			"'csi-9p doctor' lists them; run 'modprobe %s' on the node if it is not loaded", server, err, module)
	case errors.Is(err, unix.EINVAL):
		return driver.Errorf(codes.FailedPrecondition, "engine kernel, server %s: %w: the kernel's log says which option it refuses; "+
			"without its transport, run 'modprobe %s' on the node, %s", server, err, module, other)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return driver.Errorf(codes.PermissionDenied, "server %s, mounted by the kernel: %w; check attachUid, what the server makes of that user's name, and whether it lets the node in", server, err)
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		return driver.Errorf(codes.Unavailable, "server %s, mounted by the kernel: %w; check that it runs, speaks 9P and lets the node in", server, err)
	}
	return fmt.Errorf("server %s: %w", server, err)
}
