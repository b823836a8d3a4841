package mounter

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/node/usage"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
)

// drainGrace is how long the requests of an ended connection, and the scan of
// its use, may take before the volume lets go of its session, which ends them if
// it was the last.
const drainGrace = 5 * time.Second

// Volume is a volume that can be, or is, served. Its methods are safe for
// concurrent use.
type Volume struct {
	spec     Spec
	aname    string
	sessions *sessions
	session  *session
	root     *ninep.Fid // the volume's directory
	flow     *transport.Flow
	meter    ninep.Meter
	capacity atomic.Int64
	ioURing  fuse.IOURing

	linger *time.Timer // drops the volume if nobody serves it; nil without
	served atomic.Pointer[served]
	ended  chan struct{}
	done   chan struct{}
	err    error // why the connection ended: set before ended is closed
}

// served is what a volume consists of once Serve has succeeded.
type served struct {
	fs      *ninefs.FS
	conn    *fuse.Conn
	scanner *usage.Scanner // nil where use is not counted
}

// Options are what a process has for its volumes.
type Options struct {
	// TLS has the credentials for volumes at tls:// that come without; nil: none.
	TLS mtls.Source
	// IOURing says whether FUSE requests come by io_uring.
	IOURing fuse.IOURing
	// AllowUnsafeDMA allows to drive a virtio device that no IOMMU stands before.
	AllowUnsafeDMA bool
}

// Open makes sure that a volume can be served, on a session of its own. The
// caller is to call Serve or Discard.
func Open(ctx context.Context, spec Spec, o Options) (*Volume, error) {
	return prepare(ctx, new(sessions), spec, o)
}

// prepare attaches to the volume's tree and walks to its directory.
func prepare(ctx context.Context, sessions *sessions, spec Spec, o Options) (*Volume, error) {
	url, err := spec.check()
	if err != nil {
		return nil, err
	}
	tls, err := spec.TLS.source(url, o.TLS)
	if err != nil {
		return nil, err
	}
	spec.TLS = Credentials{} // the session has them: nobody else is to see them
	s, err := sessions.get(ctx, url, dial.Options{TLS: tls, AllowUnsafeDMA: o.AllowUnsafeDMA}, spec.Context.Parameters)
	if err != nil {
		return nil, spec.blame(err)
	}
	v := &Volume{
		spec: spec, aname: url.Aname, sessions: sessions, session: s, ioURing: o.IOURing,
		ended: make(chan struct{}), done: make(chan struct{}),
		flow: transport.NewFlow(spec.Context.Parameters.MaxInFlight),
	}
	giveBack := sessions.put
	if err = sessions.admit(s, spec.Context.Parameters); err == nil {
		giveBack = sessions.dismiss
		err = v.open(ctx)
	}
	if err != nil {
		err = s.explain(err)
		giveBack(s)
		return nil, spec.blame(err)
	}
	return v, nil
}

// Spec returns what the volume was opened with, its capacity as it is now.
func (v *Volume) Spec() Spec {
	spec := v.spec
	spec.Context.CapacityBytes = v.capacity.Load()
	return spec
}

// State tells how far the volume has come. One whose connection has ended is
// Draining until Done.
func (v *Volume) State() State {
	if v.served.Load() == nil {
		return Prepared
	}
	select {
	case <-v.ended:
		return Draining
	default:
		return Serving
	}
}

// Status tells how the volume fares. It asks nobody.
func (v *Volume) Status() Status {
	s := v.session.Status()
	status := Status{Spec: v.Spec(), State: v.State(), Connected: s.Connected, Since: s.Since}
	if !s.Connected && s.Err != nil {
		status.Lost = s.Err.Error()
	}
	return status
}

// Serve runs the FUSE connection of dev, which must be mounted, and returns
// when the mount is usable. dev stays the caller's. It may be called once.
func (v *Volume) Serve(ctx context.Context, dev *os.File) error {
	if err := checkDevice(dev); err != nil {
		return err
	}
	if v.served.Load() != nil {
		return fmt.Errorf("volume %s is served already: %w", v.spec.VolumeID, unix.EBUSY)
	}
	fs, conn, err := v.connect(ctx, dev)
	if err != nil {
		return fmt.Errorf("serve volume %s: %w", v.spec.VolumeID, err)
	}
	if v.linger != nil {
		v.linger.Stop()
	}
	now := &served{fs: fs, conn: conn}
	if v.spec.Context.Parameters.Capacity == params.CapacityReport {
		now.scanner = usage.Start(context.WithoutCancel(ctx), v.root, usage.Options{})
	}
	v.served.Store(now)
	go v.finish(now)
	return nil
}

// checkDevice makes sure that a descriptor from outside is a /dev/fuse
// (Documentation/admin-guide/devices.txt: 10, 229).
func checkDevice(dev *os.File) error {
	var st unix.Stat_t
	raw, err := dev.SyscallConn()
	if err != nil {
		return err
	}
	var statErr error
	if err := raw.Control(func(fd uintptr) { statErr = unix.Fstat(int(fd), &st) }); err != nil {
		return err
	}
	if statErr != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(10, 229) {
		return protocolError("the descriptor is not /dev/fuse")
	}
	return nil
}

// flush has what the mount's last users wrote so far brought to the server.
func (v *Volume) flush(ctx context.Context) {
	if v.State() == Serving {
		v.served.Load().fs.Flush(ctx)
	}
}

// Ended is closed when the connection has ended: the mount's last user is gone,
// or it was aborted.
func (v *Volume) Ended() <-chan struct{} { return v.ended }

// Done is closed after Ended, when the volume has let go of everything.
func (v *Volume) Done() <-chan struct{} { return v.done }

// Wait waits for Done and returns why the connection ended; nil for an unmount.
func (v *Volume) Wait() error {
	<-v.done
	return v.err
}

// finish lets go of everything when the connection has ended.
func (v *Volume) finish(now *served) {
	defer close(v.done)
	v.err = now.conn.Wait()
	close(v.ended)
	letGo := sync.OnceFunc(func() { v.sessions.dismiss(v.session) })
	impatient := time.AfterFunc(drainGrace, letGo)
	if now.scanner != nil {
		now.scanner.Stop()
	}
	err := now.conn.Close(context.Background())
	impatient.Stop()
	if err == nil { // else requests are still out that use the file system
		_ = now.fs.Close()
	}
	v.root.Drop()
	letGo()
}

// Discard lets go of a volume that was not served.
func (v *Volume) Discard() {
	if v.linger != nil {
		v.linger.Stop()
	}
	v.root.Drop()
	v.sessions.dismiss(v.session)
}

// Close ends the connection, whoever uses its mount. Requests under way may
// take until ctx ends.
func (v *Volume) Close(ctx context.Context) error {
	now := v.served.Load()
	if now == nil {
		v.Discard()
		return nil
	}
	err := now.conn.Close(ctx)
	<-v.done
	return err
}
