package fuse

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The notifications used (enum fuse_notify_code).
const (
	notifyInvalInode = 2
	notifyInvalEntry = 3
	notifyResend     = 7
)

// NotifyInvalInode drops the kernel's attributes of a node, and its cached data from off for n bytes: n 0 means to the end, a
// negative off the attributes alone. A node that the kernel does not know is no error.
//
// It waits for READs of these pages under way, so it must not be called where their answers would wait for it: on the
// handler's goroutine, or under a lock that answering takes.
func (c *Conn) NotifyInvalInode(nodeID uint64, off, n int64) error {
	return c.notify(notifyInvalInode, bytesOfStruct(&notifyInvalInodeOut{Ino: nodeID, Off: off, Len: n}))
}

// NotifyInvalEntry drops the kernel's knowledge of name in the directory parent. What NotifyInvalInode says of waiting holds
// here for requests that the kernel sent with the directory locked, such as LOOKUP and CREATE in it.
func (c *Conn) NotifyInvalEntry(parent uint64, name string) error {
	head := bytesOfStruct(&notifyInvalEntryOut{Parent: parent, Namelen: uint32(len(name))})
	return c.notify(notifyInvalEntry, append(append(head, name...), 0))
}

// notify writes one notification.
func (c *Conn) notify(code int32, args []byte) error {
	head := OutHeader{Len: uint32(outHeaderSize + len(args)), Error: code}
	msg := append(bytesOfStruct(&head), args...)
	err := c.loop.notify(msg)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fuse notification %d: %w", code, err)
	}
	return nil
}
