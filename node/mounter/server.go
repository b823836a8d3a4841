package mounter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// requestTimeout bounds how long a peer may take to send its request, and to
// take its answer.
const requestTimeout = 5 * time.Second

// Listen opens a socket of the mounter's at endpoint, unix:///path, for root and
// this process's user alone. A socket that a dead mounter left behind is replaced;
// one that is listened on is an error.
func Listen(ctx context.Context, endpoint string) (*net.UnixListener, error) {
	listener, err := driver.Listen(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	// Who connects before this line is still told apart by checkPeer.
	if err := os.Chmod(listener.Addr().String(), 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener.(*net.UnixListener), nil
}

// Serve answers calls on the control socket until ctx ends, then waits for
// those under way, whose contexts end too. It closes the listener. The volumes
// stay: see Volumes.Close.
func Serve(ctx context.Context, listener *net.UnixListener, volumes *Volumes) error {
	return acceptAll(ctx, listener, func(ctx context.Context, conn *net.UnixConn) { exchange(ctx, conn, volumes) })
}

// acceptAll has each connection served until ctx ends, and waits for that. It closes
// the listener.
func acceptAll(ctx context.Context, listener *net.UnixListener, serve func(context.Context, *net.UnixConn)) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	defer listener.Close()
	for {
		conn, err := listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
			klog.FromContext(ctx).Error(err, "Cannot accept on a socket", "socket", listener.Addr().String())
			pause(ctx, 100*time.Millisecond)
		case err != nil:
			return fmt.Errorf("socket %s: %w", listener.Addr(), err)
		default:
			serving.Go(func() { serve(ctx, conn) })
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// exchange serves one connection.
func exchange(ctx context.Context, conn *net.UnixConn, volumes *Volumes) {
	defer conn.Close()
	logger := klog.FromContext(ctx)
	_ = conn.SetDeadline(time.Now().Add(requestTimeout))
	var req request
	start := time.Now()
	file, err := accept(conn, &req)
	if errors.Is(err, io.EOF) {
		return // a peer that only looked whether somebody listens
	}
	var r response
	if err == nil {
		err = perform(ctx, conn, volumes, call{request: req, dev: file}, &r)
	}
	if err != nil {
		r = response{Error: toWire(err)}
	}
	logCall(logger, &req, time.Since(start), err)
	_ = conn.SetDeadline(time.Now().Add(requestTimeout))
	if err := send(conn, r, nil); err != nil {
		logger.V(2).Info("Caller did not wait for its answer", "call", req.Call, "volume", req.volumeID(), "reason", err.Error())
	}
}

// accept reads a request from a peer that may ask.
func accept(conn *net.UnixConn, req *request) (*os.File, error) {
	if err := checkPeer(conn); err != nil {
		return nil, err
	}
	file, err := receive(conn, maxRequest, req)
	if err != nil {
		return nil, err
	}
	switch {
	case req.Version != version:
		err = protocolError("this mounter speaks version %d and was asked in version %d; run one release of csi-9p on a node", version, req.Version)
	case file != nil && req.Call != callServe:
		err = protocolError("%q takes no descriptor", req.Call)
	case file == nil && req.Call == callServe:
		err = protocolError("%q needs a descriptor", req.Call)
	}
	if err != nil && file != nil {
		_ = file.Close()
		file = nil
	}
	return file, err
}

// checkPeer lets root and this process's own user in (unix(7), SO_PEERCRED).
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var sockErr error
	err = raw.Control(func(fd uintptr) { peer, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, sockErr); err != nil {
		return err
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not use the mounter: %w", peer.Uid, unix.EPERM)
	}
	return nil
}

// perform makes the call under a context that ends when the caller hangs up or
// has waited as long as it meant to.
func perform(ctx context.Context, conn *net.UnixConn, volumes *Volumes, c call, r *response) error {
	if c.Millis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.Millis)*time.Millisecond)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = conn.SetDeadline(time.Time{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_, _ = conn.Read(make([]byte, 1)) // nothing more is to come: this ends with the connection or by the deadline below
		cancel()
	}()
	err := c.do(ctx, volumes, r)
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	<-watched
	return err
}

func logCall(logger klog.Logger, req *request, took time.Duration, err error) {
	values := []any{"call", req.Call, "volume", req.volumeID(), "duration", took.Round(time.Microsecond).String()}
	switch {
	case err != nil:
		logger.Error(err, "Call failed", values...)
	case req.Call == callPing, req.Call == callList, req.Call == callStats:
		logger.V(5).Info("Call", values...)
	default:
		logger.Info("Call", values...)
	}
}
