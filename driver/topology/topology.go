// Package topology says which nodes can use a volume, where not all can: those
// that have its share. A virtio device's mount tag is a name on one machine, so
// a share is known by the UUID in its store (package record), and a node by a
// segment for each share that it has.
package topology

import (
	"fmt"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/google/uuid"
)

// Prefix is what a segment's key begins with; the share's UUID follows.
const Prefix = "share.csi-9p.dev/"

const present = "true" // a segment's value

// none is, in a UUID's place, what a node has that has no share. Without any
// segment, csi-provisioner would wait at such a node for the driver to come,
// rather than have a claim scheduled to another one.
const none = "none"

// Of returns the segments of whoever has the shares, and no others.
func Of(shares ...uuid.UUID) *csi.Topology {
	segments := make(map[string]string, len(shares))
	for _, id := range shares {
		segments[Prefix+id.String()] = present
	}
	if len(shares) == 0 {
		segments[Prefix+none] = present
	}
	return &csi.Topology{Segments: segments}
}

// Has reports whether who is at a place can use what is accessible from volume;
// nil is everywhere.
func Has(place, volume *csi.Topology) bool {
	for key, value := range volume.GetSegments() {
		if place.GetSegments()[key] != value {
			return false
		}
	}
	return true
}

// Allows reports whether a volume may be accessible from a topology alone. What
// is merely preferred excludes nothing (csi.proto, TopologyRequirement).
func Allows(r *csi.TopologyRequirement, volume *csi.Topology) bool {
	requisite := r.GetRequisite()
	return len(requisite) == 0 || slices.ContainsFunc(requisite, func(place *csi.Topology) bool { return Has(place, volume) })
}

// Shares are those that not every node has, by the nodes' road. Without any
// there is no topology.
type Shares []dial.URL

// ParseShares reads the URLs of servers, as StorageClasses have them.
func ParseShares(urls []string) (Shares, error) {
	var all Shares
	for _, s := range urls {
		u, err := dial.Parse(s)
		if err != nil {
			return nil, err
		}
		if all.Contain(u) {
			return nil, fmt.Errorf("%s is named twice", u)
		}
		all = append(all, whole(u))
	}
	return all, nil
}

// Contain reports whether the tree at u is one of the shares.
func (s Shares) Contain(u dial.URL) bool { return slices.Contains(s, whole(u)) }

// whole makes a URL without an aname that of the server's whole tree.
func whole(u dial.URL) dial.URL {
	if u.Aname == "" {
		u.Aname = "/"
	}
	return u
}
