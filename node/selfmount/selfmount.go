// Package selfmount mounts a share without Kubernetes: one process that owns
// one session and one mount, and ends with it.
package selfmount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

const (
	// connectTimeout bounds the way to the server, and to a usable mount.
	connectTimeout = 20 * time.Second
	// endTimeout bounds the end of a mount that was asked to end by a signal.
	endTimeout = 5 * time.Second
)

// Mount is what is to be mounted, and where.
type Mount struct {
	// Options are those of the process. Credentials are the URL's alone.
	mounter.Options

	spec   mounter.Spec
	source string // the URL, for the mount table
	dir    string // as in the mount table
	flags  uintptr
}

// Parse reads what `csi-9p mount URL DIR -o options` asks for; files are for
// tls:// URLs. Its errors wrap params.ErrInvalid: nothing was tried yet.
func Parse(url, dir string, options []string, files mtls.Files) (Mount, error) {
	c, generic, err := volume.ParseContext(map[string]string{"server": url}, options)
	if err != nil {
		return Mount{}, err
	}
	if c.Parameters.Share != "" {
		return Mount{}, &params.Error{Key: "share", Reason: "is for the driver, which has a configuration; here the URL names the server"}
	}
	if c.Parameters.Engine == params.EngineKernel {
		return Mount{}, &params.Error{Key: "engine", Value: string(c.Parameters.Engine), Reason: "is for the driver; here mount(8) does it: mount -t 9p"}
	}
	flags, err := mountpoint.Flags(generic)
	if err != nil {
		return Mount{}, fmt.Errorf("%w: %w", params.ErrInvalid, err)
	}
	none, err := shares.Open("")
	if err != nil {
		return Mount{}, err
	}
	share, err := none.Resolve(c.Parameters)
	if err != nil {
		return Mount{}, fmt.Errorf("%w: %w", params.ErrInvalid, err)
	}
	if files, err = checkFiles(share.Server, files); err != nil {
		return Mount{}, fmt.Errorf("%w: %w", params.ErrInvalid, err)
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return Mount{}, err
	}
	m := Mount{
		spec: mounter.Spec{
			VolumeID: "mount", Server: share.Server.String(), ReadOnly: flags&unix.MS_RDONLY != 0, Context: c,
			TLS: mounter.Credentials{Files: files},
		},
		source: share.Server.String(),
		dir:    dir,
		flags:  flags,
	}
	if share.Server.Aname == "/" { // the default goes without saying
		share.Server.Aname = ""
		m.source = share.Server.String()
	}
	return m, nil
}

// checkFiles checks that certificates are given where they are wanted, and makes
// their paths absolute.
func checkFiles(server dial.URL, files mtls.Files) (mtls.Files, error) {
	switch {
	case server.Scheme != dial.TLS && files.IsZero():
		return files, nil
	case server.Scheme != dial.TLS:
		return files, errors.New("certificates are for servers at tls://; leave --tls-ca, --tls-cert and --tls-key out")
	case files.Check() != nil:
		return files, errors.New("a server at tls:// wants certificates: give --tls-ca, --tls-cert and --tls-key")
	}
	for _, path := range []*string{&files.CA, &files.Certificate, &files.Key} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return files, err
		}
		*path = absolute
	}
	return files, nil
}

// Check tells what stands in the way of mounting on this machine, before any
// server is asked. It finds where a symbolic link leads.
func (m *Mount) Check() error {
	if os.Geteuid() != 0 {
		return errors.New("mounting needs root: run it with sudo")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return fmt.Errorf("%w: load the kernel module with 'modprobe fuse', or give the container the device", err)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(m.dir))
	if err != nil {
		return err
	}
	m.dir = filepath.Join(parent, filepath.Base(m.dir))
	if err := m.checkFree(); err != nil { // before the directory is looked at, which a dead mount would not answer
		return err
	}
	info, err := os.Lstat(m.dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s does not exist: make the directory first", m.dir)
	case err != nil:
		return err
	case info.Mode().Type() == os.ModeSymlink:
		if m.dir, err = filepath.EvalSymlinks(m.dir); err != nil {
			return err
		}
		return m.Check()
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory: choose one to mount on", m.dir)
	}
	return nil
}

func (m *Mount) checkFree() error {
	at, err := mountpoint.At(m.dir)
	if err != nil {
		return err
	}
	if len(at) > 0 {
		top := at[len(at)-1]
		return fmt.Errorf("%s is a mount of %s (%s) already: umount it or choose another directory", m.dir, top.Source, top.FsType)
	}
	return nil
}

// Run mounts, calls ready when the mount is usable, and serves it until it is
// unmounted or ctx ends, which unmounts it.
func (m *Mount) Run(ctx context.Context, ready func()) error {
	v, connection, err := m.start(ctx)
	if err != nil {
		return err
	}
	ready()
	select {
	case <-v.Done():
	case <-ctx.Done():
		m.end(ctx, v, connection)
	}
	return v.Wait()
}

// start makes the mount and returns its connection's number.
func (m *Mount) start(ctx context.Context) (*mounter.Volume, uint32, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %v: %w", connectTimeout, context.DeadlineExceeded))
	defer cancel()
	v, err := mounter.Open(ctx, m.spec, m.Options)
	if err != nil {
		return nil, 0, err
	}
	connection, err := m.mount(ctx, v)
	return v, connection, err
}

// mount mounts the volume and returns its connection's number. When it fails,
// nothing is left.
func (m *Mount) mount(ctx context.Context, v *mounter.Volume) (uint32, error) {
	dev, err := fuse.OpenDevice()
	if err != nil {
		v.Discard()
		return 0, err
	}
	defer dev.Close()
	p := m.spec.Context.Parameters
	err = fuse.Mount(dev, m.dir, fuse.MountOptions{
		Source: m.source, Subtype: "csi-9p", ReadOnly: m.spec.ReadOnly, Flags: m.flags,
		AllowOther: true, DefaultPermissions: p.Access == params.AccessSingle,
	})
	if err != nil {
		v.Discard()
		return 0, err
	}
	if err := v.Serve(ctx, dev); err != nil {
		v.Discard()
		return 0, errors.Join(err, fuse.Unmount(m.dir))
	}
	connection, err := fuse.ConnectionID(m.dir)
	if err == nil {
		err = fuse.SetLimits(connection, m.spec.Limits())
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Cannot set how far the kernel reads ahead and writes back; the volume is slower for it")
	}
	return connection, nil
}

// end unmounts and waits for the end of the mount, or, if its users do not let
// go of it or its server is lost, ends it over their heads.
func (m *Mount) end(ctx context.Context, v *mounter.Volume, connection uint32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	unmounted := make(chan struct{})
	go func() { // waits for dirty pages to be written, which the abort below ends
		defer close(unmounted)
		if now, err := fuse.ConnectionID(m.dir); err != nil || now != connection {
			return // unmounted by someone else
		}
		if err := fuse.Unmount(m.dir); err != nil {
			klog.FromContext(ctx).Error(err, "Cannot unmount", "dir", m.dir)
		}
	}()
	select {
	case <-v.Ended():
	case <-ctx.Done():
		_ = v.Close(ctx)
	}
	<-unmounted
}
