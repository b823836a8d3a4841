// Package mounter is the process that owns a node's mounts: it keeps the
// sessions to the 9P servers and serves the volumes' FUSE connections. The
// node service, which mounts, asks it over a control socket and hands it
// each connection's /dev/fuse descriptor, so that this process needs no
// CAP_SYS_ADMIN and a restart of the node service disturbs no mount.
//
// One session is shared by all volumes of a server (and of the session's own
// options and credentials, see Spec); each volume attaches to it for itself, and has a FUSE
// connection of its own. A session is closed with its last volume.
//
// A volume's life: Prepare makes sure that it can be served, before any mount
// exists; Serve takes the descriptor of the mount that the caller made; Release
// waits for the end of the connection, which comes with the last unmount, and
// lets go of the session. What was prepared and is not served within a minute
// is dropped. Nothing is written to disk: with this process its
// connections end, and the node service replaces the dead mounts.
//
// # Control protocol
//
// The socket is a unix stream socket, mode 0600, on which only root and the
// mounter's own user are heard (SO_PEERCRED). A connection carries one exchange:
//
//	request    length[4] (big endian)  JSON object, at most 2 MiB
//	response   length[4] (big endian)  JSON object, at most 16 MiB
//
// The descriptor of a "serve" travels as SCM_RIGHTS with the first byte of the
// request; no other call has one. The objects are the types request and
// response of wire.go, read strictly: an unknown field, trailing bytes, an
// unexpected descriptor or another protocol number ends the exchange with an
// error. A caller that hangs up cancels its call. The calls:
//
//	ping                      nothing: that it is answered is the answer
//	prepare  spec             dial, attach, walk to the directory
//	serve    volume + fd      run the FUSE connection; answers when it is usable
//	release  volume           wait for the end of the connection, drop the volume
//	list     [volume]         what is held, or one volume of it; asks no server
//	stats    volume           size and use; asks the server
//	resize   volume, bytes    the size that the volume reports from now on
//	renew    volume, secret   what the session shows to a tls server from now on
//
// An error has a message and what errors.Is may ask of it on the other side:
// an errno, and names of sentinel errors (causes of errors.go).
package mounter
