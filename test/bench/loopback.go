package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// largestRequest is the most that the kernel puts into one FUSE request, unless it is configured otherwise.
const largestRequest = 1 << 20

// flavour is how go-fuse's loopback file system is mounted. The zero value is the library as it comes, but for the kernel's passthrough.
type flavour struct {
	Timeout     time.Duration // for which attributes and names live
	Passthrough bool          // let the kernel read and write the file itself, which it does for root
	Request     int           // the most bytes of a request, and of read-ahead; 0: the library's defaults
}

// plainFile is go-fuse's loopback file without the kernel's passthrough: its reads and writes come to the server.
type plainFile struct{ *fs.LoopbackFile }

// PassthroughFd says that there is none.
func (plainFile) PassthroughFd() (int, bool) { return -1, false }

// plainNode is go-fuse's loopback node whose files are plain.
type plainNode struct{ *fs.LoopbackNode }

// WrapChild makes plain nodes of all below this one.
func (n *plainNode) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &plainNode{ops.(*fs.LoopbackNode)}
}

func (n *plainNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, fuseFlags, errno := n.LoopbackNode.Open(ctx, flags)
	return hide(f), fuseFlags, errno
}

func (n *plainNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, f, fuseFlags, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, hide(f), fuseFlags, errno
}

func hide(f fs.FileHandle) fs.FileHandle {
	if loopback, ok := f.(*fs.LoopbackFile); ok {
		return plainFile{loopback}
	}
	return f
}

// loopback serves go-fuse's loopback file system on dir at a mount point until ctx ends.
func loopback(ctx context.Context, dir, at string, f flavour) error {
	root, err := fs.NewLoopbackRoot(dir)
	if err != nil {
		return err
	}
	if !f.Passthrough {
		node := root.(*fs.LoopbackNode)
		root = &plainNode{node}
		node.RootData.RootNode = root
	}
	server, err := fs.Mount(at, root, &fs.Options{
		EntryTimeout: &f.Timeout, AttrTimeout: &f.Timeout, NullPermissions: true,
		MountOptions: fuse.MountOptions{
			AllowOther: true, Options: []string{"default_permissions"}, DirectMountStrict: true,
			MaxWrite: f.Request, MaxReadAhead: f.Request, FsName: dir, Name: "loopback",
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	defer context.AfterFunc(ctx, func() { _ = server.Unmount() })()
	server.Wait()
	return nil
}
