// Package virtio carries 9P over a virtio-9p device, driven from user space.
//
// A call is one element of the device's only queue: descriptors of what the
// device reads, the message's head and its payload, and of what it writes, room
// for the reply's head and the payload's place. Heads and small replies go
// through buffers of the ring's own. A payload that lies in memory of the
// session's [transport.Memory] goes from and to where it is; any other is
// copied through bounce buffers and counted. The room for the head of a reply
// with a payload is transport.PayloadHeadSize bytes, so that the payload is where
// it belongs and 9P2000.L's errors never touch it; the texts of the other
// dialects do, and are gathered from there.
//
// Whoever submits a call while nobody posts becomes the poster and puts what
// is admitted on the ring, its own call and those that others submit meanwhile,
// with one notification. One goroutine takes what the device has used.
//
// What a device is given is the device's until it hands it back or has been
// reset: at the end of a connection no call is complete, and no memory free,
// before the device has confirmed the reset. Whatever a device answers, the worst
// that comes of it is the end of the connection.
//
// The ring is the split virtqueue (package vring). A packed one is not used: it
// saves a cache miss or two of a request that changes threads twice in QEMU, and
// QEMU's devices offer it only where the host switches it on.
package virtio
