package controller

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"k8s.io/klog/v2"
)

// ListVolumes implements csi.ControllerServer. It covers the configured shares
// and those other servers that this process has seen, in a fixed order: shares
// by name, servers by URL, volumes by UUID. A token is the id of the last
// volume of the page before, so that it stays good when volumes come and go.
// A server that is down fails the call: a volume that is left out would seem
// deleted.
func (c *Controller) ListVolumes(ctx context.Context, request *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	if request.GetMaxEntries() < 0 {
		return nil, driver.Errorf(codes.InvalidArgument, "max_entries is %d, which is negative", request.GetMaxEntries())
	}
	var after volume.ID
	if token := request.GetStartingToken(); token != "" {
		var err error
		if after, err = volume.ParseID(token); err != nil {
			return nil, driver.Errorf(codes.Aborted, "the starting token %q is none of ListVolumes; start again without one", token)
		}
	}
	roads, err := c.known()
	if err != nil {
		return nil, err
	}
	page := &page{limit: int(request.GetMaxEntries())}
	for _, r := range roads {
		order := compareTrees(r, roadOf(after))
		if order < 0 {
			continue
		}
		var from uuid.UUID
		if order == 0 {
			from = after.UUID
		}
		if err := c.listRoad(ctx, r, from, page); err != nil {
			return nil, err
		}
	}
	return page.response(), nil
}

// known returns the roads that ListVolumes covers, in order.
func (c *Controller) known() ([]road, error) {
	roads, err := c.configured()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range roads {
		roads[i].uid = c.seen[r].uid
	}
	for r, last := range c.seen {
		if r.share == "" {
			roads = append(roads, road{url: r.url, uid: last.uid})
		}
	}
	slices.SortFunc(roads, compareTrees)
	return roads, nil
}

// configured returns the roads to the configured shares.
func (c *Controller) configured() ([]road, error) {
	names, err := c.shares.Names()
	roads := make([]road, len(names))
	for i, name := range names {
		roads[i].share = name
	}
	return roads, err
}

// compareTrees puts shares before servers.
func compareTrees(a, b road) int {
	return cmp.Or(cmp.Compare(a.url, b.url), cmp.Compare(a.share, b.share)) // a share has no url
}

// page is one answer being filled.
type page struct {
	limit   int // entries; 0: no limit
	entries []*csi.ListVolumesResponse_Entry
	more    bool // a volume did not fit
}

func (p *page) full() bool { return p.limit > 0 && len(p.entries) >= p.limit }

func (p *page) response() *csi.ListVolumesResponse {
	response := &csi.ListVolumesResponse{Entries: p.entries}
	if p.more {
		response.NextToken = p.entries[len(p.entries)-1].GetVolume().GetVolumeId()
	}
	return response
}

// listRoad adds the volumes of a tree whose UUID comes after one. Volumes that
// were made by way of another road to the same tree are left to that road.
func (c *Controller) listRoad(ctx context.Context, r road, after uuid.UUID, page *page) error {
	if page.more {
		return nil
	}
	tree, err := c.attachAgain(ctx, r)
	if err != nil {
		return err
	}
	defer tree.release()
	store, err := record.Open(ctx, tree.root)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer store.Close()
	ids, err := store.List(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if bytes.Compare(id[:], after[:]) <= 0 {
			continue
		}
		described, err := c.describe(ctx, store, r, id)
		if err != nil {
			return fmt.Errorf("volume %s: %w", id, err)
		}
		if described == nil {
			continue
		}
		if page.full() {
			page.more = true
			return nil
		}
		page.entries = append(page.entries, &csi.ListVolumesResponse_Entry{Volume: described})
	}
	return nil
}

// describe describes a volume by its record; nil: it is not ready, is gone, or
// belongs to another road. A record that nobody can read is passed over: the
// other volumes are still there.
func (c *Controller) describe(ctx context.Context, store *record.Store, r road, id uuid.UUID) (*csi.Volume, error) {
	v, err := store.Get(ctx, id)
	if errors.Is(err, record.ErrCorrupt) {
		klog.FromContext(ctx).Error(err, "Volume left out of the list", "volume", id)
		return nil, nil
	}
	if errors.Is(err, unix.ENOENT) || err == nil && v.State != record.Ready {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := v.Parsed()
	if err != nil {
		return nil, err
	}
	own, err := c.roadTo(p)
	if err != nil || own.tree() != r.tree() {
		return nil, err
	}
	at, err := locate(ctx, store, c.onSomeNodes(p))
	if err != nil {
		return nil, err
	}
	return volumeOf(own.id(v.Name), v, at)
}
