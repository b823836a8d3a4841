package mounter

import (
	"context"
	"os"
)

// The calls of the control protocol.
const (
	callPing    = "ping"
	callPrepare = "prepare"
	callServe   = "serve"
	callRelease = "release"
	callList    = "list"
	callStats   = "stats"
	callResize  = "resize"
	callRenew   = "renew"
)

// call is a request that was accepted.
type call struct {
	request
	dev *os.File // serve's; closed by do
}

// volumeID is the volume that the request is about; empty for all.
func (r *request) volumeID() string {
	if r.Spec != nil {
		return r.Spec.VolumeID
	}
	return r.Volume
}

// do makes the call and fills in the answer.
func (c *call) do(ctx context.Context, volumes *Volumes, r *response) (err error) {
	if c.dev != nil {
		defer c.dev.Close()
	}
	if c.Volume == "" && c.Call != callPrepare && c.Call != callList && c.Call != callPing {
		return protocolError("%q without a volume", c.Call)
	}
	switch c.Call {
	case callPing:
		return nil
	case callPrepare:
		if c.Spec == nil {
			return protocolError("%q without a spec", c.Call)
		}
		return volumes.Prepare(ctx, *c.Spec)
	case callServe:
		return volumes.Serve(ctx, c.Volume, c.dev)
	case callRelease:
		return volumes.Release(ctx, c.Volume)
	case callList:
		r.Volumes, err = volumes.list(c.Volume)
		return err
	case callStats:
		var usage Usage
		usage, err = volumes.Stats(ctx, c.Volume)
		r.Usage = &usage
		return err
	case callResize:
		return volumes.Resize(c.Volume, c.Bytes)
	case callRenew:
		if c.Secret == nil {
			return protocolError("%q without a secret", c.Call)
		}
		return volumes.Renew(ctx, c.Volume, c.Secret)
	}
	return protocolError("there is no call %q", c.Call)
}
