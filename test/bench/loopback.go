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

// loopback serves go-fuse's loopback file system on dir at a mount point until ctx ends. Attributes and names live for timeout. Run
// as root it uses the kernel's passthrough, if that is wanted.
func loopback(ctx context.Context, dir, at string, timeout time.Duration, passthrough bool) error {
	root, err := fs.NewLoopbackRoot(dir)
	if err != nil {
		return err
	}
	if !passthrough {
		node := root.(*fs.LoopbackNode)
		root = &plainNode{node}
		node.RootData.RootNode = root
	}
	server, err := fs.Mount(at, root, &fs.Options{
		EntryTimeout: &timeout, AttrTimeout: &timeout, NullPermissions: true,
		MountOptions: fuse.MountOptions{
			AllowOther: true, Options: []string{"default_permissions"}, DirectMountStrict: true,
			MaxWrite: largestRequest, MaxReadAhead: largestRequest, FsName: dir, Name: "loopback",
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
