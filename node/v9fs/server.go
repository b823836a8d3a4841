package v9fs

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"google.golang.org/grpc/codes"
	mount "k8s.io/mount-utils"
)

// serverOf reads from the mount table where the server of a mount is (v9fs_show_options and p9_show_client_options).
func serverOf(m mount.MountInfo) dial.URL {
	u := dial.URL{Host: m.Source, Port: dial.DefaultPort}
	for _, option := range m.SuperOptions {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "trans":
			u.Scheme = value
		case "port":
			if port, err := strconv.ParseUint(value, 10, 16); err == nil {
				u.Port = uint32(port)
			}
		case "aname":
			u.Aname = value
		}
	}
	if u.Scheme == dial.Unix {
		u.Host, u.Path = "", m.Source
	}
	return u
}

// Alive asks the server of a mount for an answer, on a connection of its own. A device cannot be asked and counts as alive: it is the
// host's.
func Alive(ctx context.Context, m mount.MountInfo) error {
	u := serverOf(m)
	if u.Scheme != dial.TCP && u.Scheme != dial.Unix {
		return nil
	}
	s, err := open(ctx, u)
	if err != nil {
		return driver.Errorf(codes.Unavailable, "server %s: %w", u, err)
	}
	return s.Close()
}

func open(ctx context.Context, u dial.URL) (*ninep.Session, error) {
	return ninep.Open(ctx, ninep.Config{
		Dial:     func(ctx context.Context) (transport.Conn, error) { return dial.Dial(ctx, u, dial.Options{}) },
		Dialects: []ninep.Dialect{ninep.DialectL, ninep.DialectU, ninep.DialectLegacy}, ReconnectTimeout: -1,
	})
}

// Health tells why the volume, which is mounted, has lost its server; nil if it has not.
func (m *Mounts) Health(ctx context.Context, id string) error {
	at, err := topmost(m.place(id))
	if err != nil {
		return err
	}
	return Alive(ctx, at)
}

// Statfs asks the volume's server for the size and use of the share, on a connection of its own: to ask the mount could wait for
// ever.
func (m *Mounts) Statfs(ctx context.Context, id string) (ninep.Statfs, error) {
	at, err := topmost(m.place(id))
	if err != nil {
		return ninep.Statfs{}, err
	}
	u := serverOf(at)
	if u.Scheme != dial.TCP && u.Scheme != dial.Unix {
		return ninep.Statfs{}, driver.Errorf(codes.FailedPrecondition,
			"volume %s: the statistics of a device that the kernel has mounted are not known without touching the mount, which could wait for ever", id)
	}
	s, err := open(ctx, u)
	if err != nil {
		return ninep.Statfs{}, driver.Errorf(codes.Unavailable, "server %s: %w", u, err)
	}
	defer s.Close()
	root, err := s.Attach(ctx, ninep.AttachOptions{Aname: u.Aname})
	if err != nil {
		return ninep.Statfs{}, fmt.Errorf("server %s: %w%s", u, err, driver.AttachAdvice(err))
	}
	var names []string
	if dir := strings.Trim(path.Clean(at.Root), "/"); dir != "" {
		names = strings.Split(dir, "/")
	}
	f, err := root.Walk(ctx, names...)
	if err != nil {
		return ninep.Statfs{}, fmt.Errorf("server %s: %w%s", u, err, driver.Advice(err))
	}
	return f.Statfs(ctx)
}
