// Package doctor looks at what a machine has and lacks for mounting 9P shares, and at what a server can do. Each check finds one
// thing and says in one line what it found and, where something is missing, what to do about it. One file has one check, or the
// few that look at the same thing.
//
// Nothing on the machine is changed, but that a virtio device is taken from the kernel for as long as it is looked at. On a share the checks that have to write make one directory and remove it (see [Options]).
package doctor

import (
	"context"

	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// Status is the outcome of a check.
type Status string

// The outcomes of a check.
const (
	OK   Status = "ok"
	Warn Status = "warn" // something is not there that what was asked for can do without
	Fail Status = "fail" // what was asked for does not work
)

// Check is what one check found.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Cure   string `json:"cure,omitempty"` // what to do; empty where there is nothing to do
}

// Report is what all checks found.
type Report struct {
	URL    string  `json:"url,omitempty"` // the share that was asked for, if one was
	Usable bool    `json:"usable"`        // no check failed
	Checks []Check `json:"checks"`
}

// Options say what to look at.
type Options struct {
	// URL is the share that is to be mounted; nil: the machine alone is looked at, for every transport.
	URL *dial.URL
	// TLS has the certificates for a share at tls://.
	TLS mtls.Source
	// AttachUID is who to be on the server.
	AttachUID uint32
	// AllowUnsafeDMA allows to drive a virtio device that no IOMMU stands before.
	AllowUnsafeDMA bool
	// ReadOnly leaves out the checks that write: whether the share can be written, extended attributes, locks. Those make a directory
	// .csi-9p-doctor-* at the root of the share, with one empty file, and remove both.
	ReadOnly bool
}

// need is what is asked of the machine. The zero value asks for nothing in particular.
type need struct {
	scheme, tag string
	unsafeDMA   bool
	device      *pci.Function // that has the tag; nil: none has, or none is asked for
	unseen      bool          // there is no /sys to see devices in
}

// lacking is the status of something that a transport cannot do without, where it is not there.
func (n need) lacking(scheme string) Status {
	if n.scheme == scheme {
		return Fail
	}
	return Warn
}

// vfio tells whether the device that is asked for is to be had through vfio: an IOMMU stands before it. Where none is asked for, both
// ways are looked at; where it is not there, or not to be seen, none.
func (n need) vfio() bool {
	return !n.unseen && (n.tag == "" || n.device != nil && n.device.Group != "")
}

// uio is vfio of the other way.
func (n need) uio() bool {
	return !n.unseen && (n.tag == "" || n.device != nil && n.device.Group == "")
}

// missing is the status of what the one way of the device that is asked for cannot do without, where it is not there.
func (n need) missing() Status {
	if n.device != nil {
		return Fail
	}
	return Warn
}

// machineChecks are the checks of the machine; a scheme keeps those out that only others need. A check without a name had nothing
// to look at.
var machineChecks = []struct {
	scheme string // of the transport that it is for; empty: all
	run    func(m *Machine, n need) Check
}{
	{"", checkPrivilege},
	{"", checkFUSE},
	{"", checkRequestSize},
	{"", checkIOURing},
	{"", checkKernelClient},
	{dial.VSock, checkVSock},
	{dial.Virtio, checkVirtio},
	{dial.Virtio, checkIOMMU},
	{dial.Virtio, checkVFIO},
	{dial.Virtio, checkUIO},
	{dial.Virtio, checkHugePages},
	{dial.Virtio, checkAccess},
}

// Run does the checks, one after the other. What fails is in the report. When ctx ends, what is left fails at once.
func Run(ctx context.Context, m *Machine, o Options) Report {
	var r Report
	n := need{unsafeDMA: o.AllowUnsafeDMA, unseen: !m.exists("sys/devices")}
	if o.URL != nil {
		r.URL = o.URL.String()
		n.scheme = o.URL.Scheme
		if n.scheme == dial.Virtio {
			n.tag = o.URL.Host
			n.device = m.device(n.tag)
		}
	}
	for _, c := range machineChecks {
		if o.URL == nil || c.scheme == "" || c.scheme == n.scheme {
			r.add(c.run(m, n))
		}
	}
	switch {
	case o.URL == nil:
	case n.scheme != dial.Virtio:
		r.add(checkServer(ctx, m, o)...)
	case r.Failed() == 0: // a device that cannot be driven has no server to ask
		r.add(checkServer(ctx, m, o)...)
		r.add(checkGivenBack(m, n))
	}
	r.Usable = r.Failed() == 0
	return r
}

// add appends what there was to look at.
func (r *Report) add(checks ...Check) {
	for _, c := range checks {
		if c.Name != "" {
			r.Checks = append(r.Checks, c)
		}
	}
}
