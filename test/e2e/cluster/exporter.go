package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Export says what is exported to the cluster, from the admin host.
type Export struct {
	Name   string   // of the share; unique among those that serve at the same time
	Port   int      // of the admin host
	Scheme string   // "tcp" when empty, or "tls"
	Args   []string // more of `csi-9p serve`
}

// Exporter is a 9P server outside of the cluster.
type Exporter struct {
	*Process
	URL string // of the share
	Dir string // what it exports, as the server sees it

	address string
}

// Serve exports a new, empty directory. The caller Closes the exporter.
func (c *Cluster) Serve(ctx context.Context, e Export) (*Exporter, error) {
	if e.Scheme == "" {
		e.Scheme = "tcp"
	}
	address := net.JoinHostPort(adminIP, strconv.Itoa(e.Port))
	x := &Exporter{URL: e.Scheme + "://" + address, Dir: filepath.Join(c.Dir, "exports", e.Name), address: address}
	if err := os.MkdirAll(x.Dir, 0o777); err != nil {
		return nil, err
	}
	args := append([]string{"csi-9p", "serve", "--listen", x.URL, "--allow", "10.0.0.0/8", x.Dir}, e.Args...)
	x.Process = &Process{
		Name: "exporter " + e.Name, Log: filepath.Join(c.Reports, "logs", "exporter-"+e.Name+".log"),
		path: filepath.Join(c.programs, "csi-9p"), args: args,
	}
	if err := x.Start(); err != nil {
		return nil, err
	}
	if err := x.AwaitServing(ctx); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// AwaitServing waits until the exporter takes connections, after a start.
func (x *Exporter) AwaitServing(ctx context.Context) error {
	return x.Await(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", x.address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// Close stops the exporter and removes what it exported.
func (x *Exporter) Close() error {
	if err := x.Kill(); err != nil {
		return fmt.Errorf("%s: %w", x.Name, err)
	}
	return os.RemoveAll(x.Dir)
}
