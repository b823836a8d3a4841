package params

import (
	"fmt"

	"github.com/csi-9p/csi-9p/transport/dial"
)

// kernelLacks are the parameters that the kernel's client has nothing for, and why.
var kernelLacks = []struct{ name, reason string }{
	{"zeroCopyThreshold", "is 1024 in the kernel's client"},
	{"maxInFlight", "has no counterpart in the kernel's client"},
	{"attrTimeout", "has no counterpart in the kernel's client: it asks the server each time, or with cache: loose never"},
	{"reconnectTimeout", "has no counterpart in the kernel's client, which does not reconnect: a lost server is lost until the volume is staged anew"},
	{"writebackTimeout", "has no counterpart in the kernel's client, which does not reconnect"},
	{"tlsServerName", "is for servers at tls://, which the kernel's client does not speak"},
}

// The most payload that a message of the kernel's client carries, in bytes: net/9p/trans_virtio.c and trans_fd.c
// (maxsize) of Linux 6.12, without the 24 bytes that Linux counts for a head (P9_IOHDRSZ).
const (
	kernelVirtioPayload = 500<<10 - kernelHead
	kernelSocketPayload = 1<<20 - kernelHead
	kernelHead          = 24
)

// KernelMsize is the msize that the kernel's client is mounted with, head included, for a server at this scheme.
func (p Parameters) KernelMsize(scheme string) uint32 {
	if p.Msize == 0 {
		return kernelPayload(scheme) + kernelHead
	}
	return p.Msize + kernelHead
}

func kernelPayload(scheme string) uint32 {
	if scheme == dial.Virtio {
		return kernelVirtioPayload
	}
	return kernelSocketPayload
}

// engineDefaults are the defaults of parameters that depend on the engine. The kernel's client gives what a user makes to
// that user only if it attaches as that user, and its statfs is the share's.
func (p *Parameters) engineDefaults() {
	if p.Engine == EngineKernel {
		p.Access, p.Capacity = AccessUser, CapacityNone
	}
}

// checkEngine refuses what the engine lacks, as far as it does not take the server to know. given maps the canonical keys
// that were set to their spelling.
func (p *Parameters) checkEngine(given map[string]string) error {
	if p.Engine != EngineKernel {
		return nil
	}
	for _, lack := range kernelLacks {
		if spelt, set := given[lack.name]; set {
			return &Error{Key: spelt, Reason: lack.reason + "; leave it out, or take engine: embedded"}
		}
	}
	if p.Dialect == DialectAuto {
		return &Error{Key: given["dialect"], Value: string(p.Dialect), Reason: "the kernel's client asks for one dialect; name it"}
	}
	if p.Capacity != CapacityNone {
		return &Error{Key: given["capacity"], Value: string(p.Capacity), Reason: "the kernel's client shows the share's own figures; leave it out, or take engine: embedded"}
	}
	if p.Share != "" {
		return nil
	}
	u, err := dial.Parse(p.Server)
	if err != nil {
		return &Error{Key: given["server"], Value: p.Server, Reason: err.Error()}
	}
	return p.CheckEngine(u)
}

// CheckEngine tells whether the volume's engine can mount the server that its share or server stands for.
func (p Parameters) CheckEngine(server dial.URL) error {
	if p.Engine != EngineKernel {
		return nil
	}
	switch server.Scheme {
	case dial.TLS, dial.VSock:
		return &Error{Key: "engine", Value: string(p.Engine),
			Reason: fmt.Sprintf("the kernel's client does not speak %s://; take engine: embedded", server.Scheme)}
	}
	virtio := server.Scheme == dial.Virtio
	switch {
	case p.ZeroCopy == ZeroCopyOff && virtio:
		return &Error{Key: "zeroCopy", Value: string(p.ZeroCopy),
			Reason: "the kernel's client copies nothing over virtio, and has no switch for that; take auto, or engine: embedded"}
	case p.ZeroCopy == ZeroCopyRequire && !virtio:
		return &Error{Key: "zeroCopy", Value: string(p.ZeroCopy),
			Reason: fmt.Sprintf("the kernel's client copies every payload over %s://; take auto, or engine: embedded", server.Scheme)}
	case p.Msize > kernelPayload(server.Scheme):
		return &Error{Key: "msize", Value: getMsize(&p),
			Reason: fmt.Sprintf("the kernel's client carries %d bytes at most over %s://; take that, auto, or engine: embedded", kernelPayload(server.Scheme), server.Scheme)}
	}
	return nil
}
