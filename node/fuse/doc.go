// Package fuse speaks the kernel's FUSE protocol: it mounts, reads requests, hands them to a [Handler] and writes the replies.
//
// It differs from other FUSE libraries in three things. The payload of a WRITE lands in memory of the caller's choice
// ([Buffers]) and the payload of a READ leaves from there, so nothing is copied in user space. A request may be answered from
// any goroutine at any time, so nothing is parked while an answer is on its way. And what a connection negotiated is a flat
// record ([InitRecord]) with which another process can resume it, requests in flight included.
//
// A mount without work holds no thread and no buffer: its reader waits in the runtime's poller.
//
// Sources: include/uapi/linux/fuse.h, fs/fuse/dev.c and Documentation/filesystems/fuse/fuse.rst of Linux 6.18; fuse(4).
package fuse
