package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mdlayher/vsock"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/metrics"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
)

// serveFlags are the command line of the verb serve.
type serveFlags struct {
	listen   []string
	readOnly bool
	squash   string
	allow    []string
	dialects []string
	http     httpFlags
	tls      mtls.Files
}

func serveCommand() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve --listen URL [--listen URL ...] DIR [--readonly] [--squash UID:GID] [--allow CIDR ...] [--tls-...]",
		Short: "Export a directory over 9P",
		Long: `Export a directory over 9P2000.L, 9P2000.u and 9P2000, until SIGTERM or SIGINT.

Nothing outside of DIR can be reached: names are resolved beneath it and symbolic links are never
followed by the server. Run as root, the server acts as the user that a client attaches as, with
that user's groups on this host; run as anybody else, it acts as itself for every client.

9P has no authentication here: whoever may connect may attach as any user, root included. So TCP
peers are only those of this host unless --allow names others, and --squash makes everybody one
user. Clients of tls:// have to show a certificate that an authority of --tls-client-ca issued, and
may then come from anywhere, unless --allow narrows it; the three files are read again when they
change. Sockets of unix:// are made under the umask, as a rule open to this user and root alone. A
client that is root can leave setuid programs and devices in DIR: mount its file system
nosuid,nodev, or squash.`,
		Example: `  csi-9p serve --listen tcp://127.0.0.1:5640 /srv/share
  csi-9p serve --listen tcp://0.0.0.0 --allow 10.0.0.0/8 --squash 1000:1000 /srv/share
  csi-9p serve --listen tls://0.0.0.0 --tls-cert tls.crt --tls-key tls.key --tls-client-ca ca.crt /srv/share
  csi-9p serve --listen unix:///run/share.sock --listen vsock://2:564 --readonly /srv/share`,
		Args: positional("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return serve(cmd, flags, args[0]) },
	}
	cmd.Flags().StringArrayVar(&flags.listen, "listen", nil, "where to listen, as a URL: tcp://host[:564], tls://host[:564], unix:///path, vsock://cid[:564]; may be repeated")
	cmd.Flags().BoolVar(&flags.readOnly, "readonly", false, "refuse every change (EROFS)")
	cmd.Flags().StringVar(&flags.squash, "squash", "", "act as this UID:GID for every client")
	cmd.Flags().StringArrayVar(&flags.allow, "allow", nil, "TCP peers that may connect, as a network (10.0.0.0/8) or an address; may be repeated (default: this host only; with tls:// all)")
	cmd.Flags().StringSliceVar(&flags.dialects, "dialects", []string{"9P2000.L", "9P2000.u", "9P2000"}, "dialects of 9P that are spoken")
	cmd.Flags().StringVar(&flags.tls.Certificate, "tls-cert", "", "file with the server's certificate and its chain, for tls://")
	cmd.Flags().StringVar(&flags.tls.Key, "tls-key", "", "file with its key")
	cmd.Flags().StringVar(&flags.tls.CA, "tls-client-ca", "", "file with the authorities that clients' certificates must be issued by")
	flags.http.add(cmd.Flags())
	return cmd
}

func serve(cmd *cobra.Command, flags serveFlags, dir string) error {
	options, urls, err := flags.parse(dir)
	if err != nil {
		return err
	}
	certificates, err := flags.certificates(urls)
	if err != nil {
		return err
	}
	s, err := server.New(options)
	if err != nil {
		return err
	}
	defer s.Close()
	registry := metrics.NewRegistry(version())
	registry.Register(metrics.Exporter(s))
	web, err := flags.http.listen(cmd.Context(), registry, checks{healthy: s.Accepting})
	if err != nil {
		return err
	}
	defer web.Close()
	listeners, err := listenAll(cmd.Context(), urls, dial.Options{TLS: certificates})
	if err != nil {
		return err
	}
	for i, l := range listeners {
		u := boundURL(urls[i], l)
		fmt.Fprintf(cmd.OutOrStdout(), "exporting %s on %s\n", options.Root, u)
		if len(options.Allow) == 0 && u.Scheme != dial.TLS && !loopback(l) {
			fmt.Fprintf(cmd.ErrOrStderr(), "csi-9p: %s: peers on other hosts are refused; --allow CIDR lets them in\n", u)
		}
	}
	return beside(cmd.Context(), web, func(ctx context.Context) error { return serveAll(ctx, s, listeners) })
}

// serveAll serves on every listener until ctx ends or one of them fails.
func serveAll(ctx context.Context, s *server.Server, listeners []net.Listener) error {
	tasks, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		tasks.Go(func() error { return s.Serve(ctx, l) })
	}
	return tasks.Wait()
}

// parse checks the flags. Its errors are those of usage.
func (f serveFlags) parse(dir string) (o server.Options, urls []dial.URL, err error) {
	if len(f.listen) == 0 {
		return o, nil, fmt.Errorf("%w: --listen is missing: say where, as in --listen tcp://127.0.0.1:5640", errUsage)
	}
	for _, s := range f.listen {
		u, err := dial.Parse(s)
		if err != nil {
			return o, nil, fmt.Errorf("%w: --listen %s: %w", errUsage, s, err)
		}
		if strings.Trim(u.Aname, "/") != "" {
			return o, nil, fmt.Errorf("%w: --listen %s: a listener has no tree; export that directory", errUsage, s)
		}
		urls = append(urls, u)
	}
	o.ReadOnly = f.readOnly
	if o.Root, err = filepath.Abs(dir); err != nil {
		return o, nil, err
	}
	if o.Squash, err = parseSquash(f.squash); err != nil {
		return o, nil, err
	}
	for _, s := range f.allow {
		prefix, err := parsePrefix(s)
		if err != nil {
			return o, nil, fmt.Errorf("%w: --allow %s: not a network as in 10.0.0.0/8, nor an address", errUsage, s)
		}
		o.Allow = append(o.Allow, prefix)
	}
	for _, name := range f.dialects {
		d, ok := ninep.ParseDialect(name)
		if !ok {
			return o, nil, fmt.Errorf("%w: --dialects %s: not 9P2000.L, 9P2000.u or 9P2000", errUsage, name)
		}
		o.Dialects = append(o.Dialects, d)
	}
	return o, urls, nil
}

// certificates opens the files that tls:// needs; nil where nobody asks for it.
func (f serveFlags) certificates(urls []dial.URL) (mtls.Source, error) {
	asked := slices.ContainsFunc(urls, func(u dial.URL) bool { return u.Scheme == dial.TLS })
	switch {
	case !asked && f.tls.IsZero():
		return nil, nil
	case !asked:
		return nil, fmt.Errorf("%w: --tls-cert, --tls-key and --tls-client-ca are for --listen tls://..., which is missing", errUsage)
	case f.tls.Check() != nil:
		return nil, fmt.Errorf("%w: tls:// needs --tls-cert, --tls-key and --tls-client-ca: clients are let in by their certificates", errUsage)
	}
	source, err := mtls.OpenFiles(f.tls)
	if err != nil {
		return nil, err
	}
	return source, nil
}

func parseSquash(s string) (*server.Squash, error) {
	if s == "" {
		return nil, nil
	}
	u, g, ok := strings.Cut(s, ":")
	uid, errUID := strconv.ParseUint(u, 10, 32)
	gid, errGID := strconv.ParseUint(g, 10, 32)
	if !ok || errUID != nil || errGID != nil {
		return nil, fmt.Errorf("%w: --squash %s: not two numbers as in 1000:1000", errUsage, s)
	}
	return &server.Squash{UID: uint32(uid), GID: uint32(gid)}, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// listenAll listens everywhere or, with an error, nowhere.
func listenAll(ctx context.Context, urls []dial.URL, o dial.Options) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, u := range urls {
		l, err := dial.Listen(ctx, u, o)
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return nil, listenError(u, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// listenError adds what to do about the common failures.
func listenError(u dial.URL, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%w; choose another port, or see who has it: ss -lptn 'sport = :%d'", err, u.Port)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w; it is no address of this host (0.0.0.0 and [::] stand for all)", err)
	case errors.Is(err, unix.EACCES) && (u.Scheme == dial.TCP || u.Scheme == dial.TLS):
		return fmt.Errorf("%w; ports below 1024 are root's: choose one above, as in %s://127.0.0.1:5640", err, u.Scheme)
	}
	return err
}

// boundURL is where a listener really listens, which may be a port of the kernel's choice.
func boundURL(u dial.URL, l net.Listener) dial.URL {
	switch addr := l.Addr().(type) {
	case *net.TCPAddr:
		u.Port = uint32(addr.Port)
	case *vsock.Addr:
		u.Port = addr.Port
	}
	return u
}

// loopback reports whether peers on other hosts cannot reach the listener by TCP.
func loopback(l net.Listener) bool {
	tcp, ok := l.Addr().(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}
