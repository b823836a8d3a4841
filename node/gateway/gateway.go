// Package gateway speaks 9P2000.L to programs of this machine in the name of servers that only this process has a session
// with, as that of a virtio device, which has one owner.
//
// A client attaches a share by its URL in place of an aname. What it asks of the fids that come of it goes over the session
// that the process has to the share's server, and may have for others too: messages go on as they are, but for their tags
// and fids. Names mean nothing here. Each connection may attach several shares; files of two sessions are like
// files of two file systems (EXDEV).
//
// The gateway outlives no connection of the session's: when that is lost, the client's ends too. A client that
// reconnects, as package ninep's, then binds its fids again by what it knows of them. What a client has bound is given back
// when it goes.
//
// Requests at one fid keep their order, whatever the server makes of concurrent ones. A Tflush is sent on, and answered when
// the server has answered, the request or the flush of it. Limits are maxMsize, maxFids and maxRequests, for each
// connection; in the session the flow of [Share] stands beside those of other users.
//
// This is the way to make and remove volumes, not to move their data: payload is copied into this process and out of it.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

const (
	maxMsize    = 64<<10 + ninep.IOHeaderSize // bytes of a message to or from a client; a server may take less
	maxFids     = 1024                        // of one client
	maxRequests = 64                          // of one client that the servers are asked at once
	maxTags     = 1024                        // of one client that are in use, by what waits and by Tflush too
	replyTime   = time.Minute                 // how long a client may take to accept a reply
)

// Share is a tree of a server, and the session to reach it by.
type Share struct {
	Session *ninep.Session
	Aname   string
	// Flow is what the session is asked through the gateway is charged to.
	Flow *transport.Flow
	// Release tells that the gateway is done with the share. It is called once.
	Release func()
}

// Open returns the share that a client has attached by this name. The errno of its error is the client's answer; without one
// that is EIO.
type Open func(ctx context.Context, name string) (*Share, error)

// Serve answers the client at the other end of nc, until it hangs up, a session that it uses has lost its server, or ctx ends,
// which is no error, or until it breaks the protocol. Then nc is closed; Serve returns when nothing that was asked is
// under way any more: at the latest when its sessions are closed or have lost their servers.
func Serve(ctx context.Context, nc net.Conn, open Open) error {
	ctx, cancel := context.WithCancel(ctx)
	c := newConn(nc, open)
	unhook := context.AfterFunc(ctx, c.cut)
	err := c.receiveAll(ctx)
	unhook()
	cancel()
	c.cut()
	c.working.Wait()
	c.clear()
	c.watching.Wait()
	if errors.Is(err, ninep.ErrMalformed) {
		return fmt.Errorf("9P client: %w", err)
	}
	return nil
}
