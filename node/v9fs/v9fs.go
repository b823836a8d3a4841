// Package v9fs mounts volumes by the kernel's own 9P client, v9fs, for engine: kernel.
//
// The only state is the mount table. Each volume is mounted at a place of its own below Dir, named for its id, and from there
// bound to where it is wanted; so whatever process comes next knows which volume a mount is of, and who else uses a share.
//
//	Dir/shares/SHARE   the whole tree, for as long as something of it is to be bound
//	Dir/volumes/ID     the volume's directory of it, bound
//
// A server on a socket gets a connection for each volume, as v9fs mounts, and its share's place is given up once the volume's
// directory is bound. A virtio device is one session: the kernel refuses a second mount of its tag. So its volumes share a
// mount, which is taken down with the last of them.
//
// v9fs does not reconnect, and a system call on a mount whose server is gone may wait for ever. None is made here but mount(2), bind
// and umount2(2), each on a goroutine of its own that the caller does not wait for longer than its context allows.
package v9fs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/transport/dial"
	"google.golang.org/grpc/codes"
	mount "k8s.io/mount-utils"
)

// Mounts are the volumes that the kernel's client mounts on a node. Its methods are safe for concurrent use, those for one volume
// one after the other.
type Mounts struct {
	dir     string
	mounter mount.Interface
	devices sync.Mutex // held while the mount of a device is made, shared or taken down
}

// New has shares and volumes mounted below dir, which the next process is to be given too, and which is to be shared with the host
// as the kubelet's directory is. It is made when it is needed.
func New(dir string, mounter mount.Interface) (*Mounts, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("%q must be an absolute path", dir)
	}
	real, missing := filepath.Clean(dir), ""
	for real != "/" { // the mount table has paths without symbolic links
		found, err := filepath.EvalSymlinks(real)
		if err == nil {
			real = found
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		real, missing = filepath.Dir(real), filepath.Join(filepath.Base(real), missing)
	}
	return &Mounts{dir: filepath.Join(real, missing), mounter: mounter}, nil
}

// Below tells whether a path is one of ours.
func (m *Mounts) Below(path string) bool { return strings.HasPrefix(path, m.dir+"/") }

// place is where the volume is mounted; a name for the longest id is shorter than NAME_MAX.
func (m *Mounts) place(id string) string {
	return filepath.Join(m.dir, "volumes", base64.RawURLEncoding.EncodeToString([]byte(id)))
}

// sharePlace is where the share of a volume is mounted.
func (m *Mounts) sharePlace(v *Volume, device string, options []string) string {
	if !v.shared() {
		return m.ownShare(v.ID)
	}
	sum := sha256.Sum256([]byte(device + "\x00" + strings.Join(options, ",")))
	return filepath.Join(m.dir, "shares", hex.EncodeToString(sum[:12]))
}

// VolumeOf returns the id of the volume that a mount of the table is of; false for a mount that is not of one.
func (m *Mounts) VolumeOf(table []mount.MountInfo, info mount.MountInfo) (id string, ours bool) {
	for _, other := range table {
		name, below := strings.CutPrefix(other.MountPoint, filepath.Join(m.dir, "volumes")+"/")
		if below && same(other, info) {
			id, err := base64.RawURLEncoding.DecodeString(name)
			return string(id), err == nil
		}
	}
	return "", false
}

// Has tells whether the volume is mounted by the kernel's client, or was half-way when a call died.
func (m *Mounts) Has(id string) (bool, error) {
	has, err := mounted(m.place(id))
	if err == nil && !has {
		has, err = mounted(m.ownShare(id))
	}
	return has, err
}

func mounted(path string) (bool, error) {
	at, err := mountpoint.At(path)
	return len(at) > 0, err
}

// ownShare is where the share of a volume is mounted that has a connection of its own.
func (m *Mounts) ownShare(id string) string {
	return filepath.Join(m.dir, "shares", filepath.Base(m.place(id)))
}

// same tells whether two mounts show the same directory of the same file system.
func same(a, b mount.MountInfo) bool { return mountpoint.SameFilesystem(a, b) && a.Root == b.Root }

// Volume is what is to be mounted.
type Volume struct {
	ID        string
	Server    dial.URL // with its aname
	Directory []string // below the aname
	Options   []string // of v9fs, as Options returns them
	Device    string   // as Options returns it
	Flags     []string // generic options of mount(8)
	ReadAhead int64    // bytes
}

// shared tells whether other volumes share the mount.
func (v *Volume) shared() bool { return v.Server.Scheme == dial.Virtio }

// Stage mounts the volume at path, where nothing is mounted. What a call that failed or died had done is found by the next, or taken
// back by Unstage.
func (m *Mounts) Stage(ctx context.Context, v Volume, path string) error {
	has, err := mounted(m.place(v.ID))
	if err == nil && !has {
		err = m.mount(ctx, &v)
	}
	if err != nil {
		return err
	}
	ofMount, _ := mountpoint.Split(v.Flags)
	return m.bind(ctx, m.place(v.ID), path, ofMount)
}

// mount mounts the volume at its place.
func (m *Mounts) mount(ctx context.Context, v *Volume) error {
	_, ofFilesystem := mountpoint.Split(v.Flags)
	options := slices.Concat(v.Options, ofFilesystem)
	share := m.sharePlace(v, v.Device, options)
	if v.shared() {
		m.devices.Lock()
		defer m.devices.Unlock()
		if err := m.checkDevice(v.Device, share); err != nil {
			return err
		}
	}
	if err := m.mountShare(ctx, v, share, options); err != nil {
		return err
	}
	err := m.bindDirectory(ctx, share, v)
	if !v.shared() || err != nil {
		err = errors.Join(err, m.release(ctx, share))
	}
	return err
}

// checkDevice refuses a device that is mounted otherwise: it has one session.
func (m *Mounts) checkDevice(device, share string) error {
	table, err := mountpoint.Table()
	if err != nil {
		return err
	}
	for _, info := range table {
		if info.Source == device && info.MountPoint != share && filepath.Dir(info.MountPoint) == filepath.Join(m.dir, "shares") {
			return driver.Errorf(codes.FailedPrecondition, "device %s is mounted for other volumes with other parameters, and is one session: "+
				"give all of its volumes with engine: kernel the same msize, cache, access, attachUid, dialect and aname", device)
		}
	}
	return nil
}

// mountShare mounts the share, unless it is mounted.
func (m *Mounts) mountShare(ctx context.Context, v *Volume, share string, options []string) error {
	at, err := mountpoint.At(share)
	if err != nil || len(at) > 0 {
		return err
	}
	if err := os.MkdirAll(share, 0o700); err != nil {
		return err
	}
	before, _ := filepath.Glob(bdis)
	err = Within(ctx, "mounting "+v.Server.String(), func() error { return m.mounter.Mount(v.Device, share, mountpoint.Kernel9P, options) })
	if err != nil {
		_ = os.Remove(share) // without which a mount that is late fails
		return explain(v.Server, err)
	}
	readAhead(ctx, before, v.ReadAhead)
	return nil
}

// bindDirectory binds the volume's directory to its place. A symbolic link on the share would lead the bind elsewhere, on the
// node even: what it led to is looked up in the mount table, and let go of.
func (m *Mounts) bindDirectory(ctx context.Context, share string, v *Volume) error {
	place := m.place(v.ID)
	if err := os.MkdirAll(place, 0o700); err != nil {
		return err
	}
	if err := m.bind(ctx, filepath.Join(share, filepath.Join(v.Directory...)), place, nil); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return driver.Errorf(codes.FailedPrecondition, "volume %s: its directory %s is not on the share", v.ID, filepath.Join(v.Directory...))
		}
		return err
	}
	is, err := topmost(place)
	if err != nil {
		return err
	}
	whole, err := topmost(share)
	if err != nil {
		return err
	}
	if !mountpoint.SameFilesystem(is, whole) || is.Root != filepath.Join(whole.Root, filepath.Join(v.Directory...)) {
		return errors.Join(driver.Errorf(codes.FailedPrecondition, "volume %s: %s on the share is a symbolic link, not a directory", v.ID, filepath.Join(v.Directory...)),
			m.release(ctx, place))
	}
	return nil
}

func topmost(path string) (mount.MountInfo, error) {
	at, err := mountpoint.At(path)
	if err == nil && len(at) == 0 {
		err = fmt.Errorf("%s: the mount is gone", path)
	}
	if err != nil {
		return mount.MountInfo{}, err
	}
	return at[len(at)-1], nil
}

func (m *Mounts) bind(ctx context.Context, source, target string, options []string) error {
	return Within(ctx, "binding to "+target, func() error {
		return m.mounter.Mount(source, target, "", slices.Concat([]string{"bind"}, options))
	})
}

// Within waits for what may wait for a server, on a goroutine that lives as long as that does, until ctx ends.
func Within(ctx context.Context, what string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return driver.Errorf(codes.DeadlineExceeded, "%s: the server does not answer: %w", what, ctx.Err())
	}
}
