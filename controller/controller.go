// Package controller is the CSI Controller service: it makes, lists, resizes
// and deletes volumes, which are directories of a share, over 9P. It mounts
// nothing and keeps nothing of its own: what it knows about a volume is the
// volume's record on the share, so that it can be killed at any time, and
// several can run at once.
package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/driver/topology"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"google.golang.org/grpc/codes"
)

// Options are what a Controller is made with.
type Options struct {
	Shares *shares.Shares
	// TLS has the credentials for servers at tls:// where neither a call nor a
	// share brings any; nil: none.
	TLS mtls.Source
	// Open opens a session to a server, whose URL has no aname, with the
	// credentials for it, nil without TLS; nil: OpenSession.
	Open func(ctx context.Context, server dial.URL, tls mtls.Source) (*ninep.Session, error)
	// OpenTimeout bounds Open, so that a server that is down is reported while
	// the caller still waits; 0: 5 seconds.
	OpenTimeout time.Duration
	// IdleTime is how long a session that nobody uses stays open; 0: 2 minutes.
	IdleTime time.Duration
	// Mounter is the path of the socket at which the mounter of the node that the
	// controller runs on speaks 9P; empty: the controller runs anywhere.
	Mounter string
	// Topology are the shares that not every node has. With a Mounter they are
	// reached through it, as devices are.
	Topology topology.Shares
}

// Controller implements csi.ControllerServer. Its errors wrap their causes;
// driver.Code knows their codes.
type Controller struct {
	csi.UnimplementedControllerServer
	shares   *shares.Shares
	tls      mtls.Source
	mounter  string // empty, or a path
	topology topology.Shares
	sessions *sessions
	locks    driver.Locks // by volume

	mu   sync.Mutex
	seen map[road]visit // trees that this process has attached, uid left out
}

// visit is how a tree was attached last.
type visit struct {
	uid uint32
	tls mtls.Source
}

// New makes a Controller. The caller closes it.
func New(o Options) *Controller {
	if o.Open == nil {
		o.Open = OpenSession
	}
	return &Controller{
		shares:   o.Shares,
		tls:      o.TLS,
		mounter:  o.Mounter,
		topology: o.Topology,
		sessions: newSessions(o.Open, cmp.Or(o.OpenTimeout, 5*time.Second), cmp.Or(o.IdleTime, 2*time.Minute)),
		seen:     make(map[road]visit),
	}
}

// Close ends the sessions that nobody uses; the others end with the calls that
// use them.
func (c *Controller) Close() { c.sessions.close() }

// ServerStats returns the statistics of the sessions that are open.
func (c *Controller) ServerStats() []driver.ServerStats { return c.sessions.stats() }

// road is how the controller comes to a tree: by a share of the configuration
// or by a URL, with an aname, and as whom. It is the part of a volume's id that
// volumes of one tree have in common.
type road struct {
	share string // or
	url   string
	uid   uint32
}

func roadOf(id volume.ID) road { return road{id.Share, id.URL, id.AttachUID} }

// tree is the road without who takes it.
func (r road) tree() road { return road{share: r.share, url: r.url} }

// id names the volume of that name on the road.
func (r road) id(name string) volume.ID {
	return volume.ID{Share: r.share, URL: r.url, UUID: volume.UUID(name), AttachUID: r.uid}
}

// roadTo is the controller's road to the tree that p names.
func (c *Controller) roadTo(p params.Parameters) (road, error) {
	if p.Share != "" {
		return road{share: p.Share, uid: p.AttachUID}, nil
	}
	share, err := c.shares.Resolve(p)
	if err != nil {
		return road{}, err
	}
	u := share.Controller
	if u.Aname == rootAname {
		u.Aname = ""
	}
	return road{url: u.String(), uid: p.AttachUID}, nil
}

// rootAname is what a URL without an aname attaches; leaving it out keeps
// volume ids short.
const rootAname = "/"

// attach goes the road with the secrets of a call. The caller releases the tree.
func (c *Controller) attach(ctx context.Context, r road, secrets map[string]string) (*attachment, error) {
	u, files, err := c.resolve(r)
	if err != nil {
		return nil, err
	}
	tls, err := c.credentials(u, files, secrets)
	if err != nil {
		return nil, r.blame(err)
	}
	a, err := c.attachTo(ctx, u, tls, r.uid)
	if err != nil {
		return nil, r.blame(err)
	}
	c.mu.Lock()
	c.seen[r.tree()] = visit{r.uid, tls}
	c.mu.Unlock()
	return a, nil
}

// attachTo attaches to the tree of u as uid: through the mounter if it is the
// node's.
func (c *Controller) attachTo(ctx context.Context, u dial.URL, tls mtls.Source, uid uint32) (*attachment, error) {
	if !c.onThisNode(u) {
		return c.sessions.attach(ctx, u, tls, uid)
	}
	a, err := c.sessions.attach(ctx, u.Through(c.mounter), nil, uid)
	if errors.Is(err, topology.NoDevice) {
		return nil, driver.Errorf(codes.ResourceExhausted, "this node does not have %s: %w; let the StorageClass's allowedTopologies name its share", u, err)
	}
	if err != nil {
		return nil, fmt.Errorf("through this node's mounter: %w", err)
	}
	a.server = u.String()
	return a, nil
}

// onANode reports whether this is one of several controllers, each on a node.
func (c *Controller) onANode() bool { return c.mounter != "" }

// onThisNode reports whether the node's mounter is the way to a tree.
func (c *Controller) onThisNode(u dial.URL) bool {
	return c.onANode() && (u.Scheme == dial.Virtio || c.topology.Contain(u))
}

// blame adds the share's name to an error of its server's, whose address the
// StorageClass does not have.
func (r road) blame(err error) error {
	if r.share == "" {
		return err
	}
	return fmt.Errorf("share %s: %w", r.share, err)
}

// attachAgain goes a road for a call that cannot carry secrets: as the last call
// that could went it.
func (c *Controller) attachAgain(ctx context.Context, r road) (*attachment, error) {
	c.mu.Lock()
	last, known := c.seen[r.tree()]
	c.mu.Unlock()
	u, _, err := c.resolve(r)
	if err != nil {
		return nil, err
	}
	if !known || u.Scheme != dial.TLS {
		return c.attach(ctx, r, nil)
	}
	a, err := c.attachTo(ctx, u, last.tls, r.uid)
	if err != nil {
		return nil, r.blame(err)
	}
	return a, nil
}

// resolve returns the URL at the end of a road, with an aname, and the files
// that a share has for it.
func (c *Controller) resolve(r road) (dial.URL, mtls.Files, error) {
	if r.share != "" {
		share, err := c.shares.Lookup(r.share)
		if err == nil {
			err = c.reachable(share.Controller)
		}
		return share.Controller, share.TLS, err
	}
	u, err := dial.Parse(r.url)
	if err == nil {
		err = c.reachable(u)
	}
	if u.Aname == "" {
		u.Aname = rootAname
	}
	return u, mtls.Files{}, err
}

// reachable refuses a road that ends at a device, which is a node's, unless this
// is the node.
func (c *Controller) reachable(u dial.URL) error {
	if u.Scheme != dial.Virtio || c.onThisNode(u) {
		return nil
	}
	return &params.Error{Key: "controllerServer", Reason: fmt.Sprintf("is missing: %s is a device of a node, which the controller cannot drive; "+
		"export the same tree at tcp://, tls://, unix:// or vsock:// too and name that, or run the controller on each node with --sessions, beside the mounter", u)}
}

// credentials are those for a server: of the call's secrets if it has them, else
// the share's, else the controller's own. Without TLS secrets are ignored.
func (c *Controller) credentials(u dial.URL, files mtls.Files, secrets map[string]string) (mtls.Source, error) {
	if u.Scheme != dial.TLS {
		return nil, nil
	}
	secret, err := mtls.FromSecret(secrets)
	switch {
	case err != nil:
		return nil, err
	case secret != nil:
		return secret.Parse()
	case !files.IsZero():
		return mtls.ExpectFiles(files) // a session that is open keeps what it read, should they be broken now
	}
	return c.tls, nil
}
