// Package server exports a directory over 9P: 9P2000.L, 9P2000.u and 9P2000, as each client asks for (version(5)).
//
// # Containment
//
// The export's root is held as a descriptor, and so is the file of every fid. Names are resolved one at a time by
// openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS, never as a path that a client gave,
// so that no name, no symbolic link and no directory that someone moves meanwhile leads out of the root. The server
// never follows a symbolic link for a client. Devices, sockets and pipes can be made, looked at and removed, but never
// opened: their file operations belong to the client's kernel (CVE-2023-2861 was QEMU's server opening them). ".."
// walks up to the attach's root and no further. What the host's own processes move out of the root stays in reach of
// those fids that are on it or in it, and of no others. Because a fid is a descriptor, it follows its file through
// renames, and an open file that was removed lives until its last fid is gone.
//
// An aname chooses a directory beneath the root to attach. It is a name space, not a fence: whoever may attach may
// attach anything. A client who is root may leave setuid programs and device nodes on the host's file system: mount it
// nosuid and nodev, or use [Options.Squash].
//
// # Whom the server acts as
//
// A server that runs as root acts as the numeric user of the attach, with the groups that the host's user database
// gives it (a user unknown to the host has one group, numbered as the user), or as [Options.Squash] for everybody.
// Every operation that a permission or a quota bears on runs with that user's credentials and without capabilities, on
// an operating system thread of its own for that time. The user 0 keeps root's powers beneath the root. A server that
// is not root acts as itself for every client. The group that a create message carries is honoured where the user may
// use it; a setgid directory wins, as on Linux.
//
// # What a client can rely on
//
// Requests of one connection run concurrently, but a request sees what earlier ones did to its fids: Twalk, Tlopen,
// Tread and Tclunk of a fid may be sent back to back, and those behind a Twalk that fails are answered EBADF. Between
// fids there is no order. A flushed request is finished rather than dropped, and its reply always goes out before
// Rflush.
//
// qid.path is the inode number on the root's own device. On other devices mounted beneath it, a hash of the device's
// number is folded into the upper 16 bits. data_version is a hash of ctime, mtime and size, and qid.version the upper half of
// it. gen is not given. That data_version is given tells this package's client that messages may be sent back to back.
//
// Treaddir gives neither "." nor "..". Its offsets are the host's directory offsets. O_APPEND is kept: writes through
// such a fid go to the end of the file, whatever their offset, which is what makes two clients' appends whole; a
// client that writes back pages must leave the flag out. O_DIRECT is a wish: it is dropped from a fid that the host
// refuses an I/O on because of its alignment. Txattrcreate of size 0 with XATTR_REPLACE removes the attribute, as
// Linux asks for it; with other flags it sets an empty one.
//
// Byte-range locks are held in a table of this process, over all its connections, with the semantics of fcntl(2): an
// owner is client_id and proc_id together with the peer's address, so that a client that reconnects meets its own
// locks. A lock lives until it is given back, or the fid it was taken through is clunked, or its connection ends; a
// TCP peer that is gone without a word, or takes no replies, is given up after a minute. What clients hold is also
// held against the host's own processes, where the host's file system can. A conflict is always answered with status
// BLOCKED, at once.
//
// # Plan 9's dialects
//
// 9P2000 is kept to section 5 of the Plan 9 manual, 9P2000.u besides to how Linux and QEMU speak it. Users and groups are
// the names of the host's database, or numbers in decimal. A file of 9P2000 is a directory or a plain file; links,
// devices, sockets and pipes look like plain files there and cannot be opened. The mode bits for files that are append
// only, exclusive or temporary are refused, not ignored. A Twstat happens as a whole or not at all, as far as the host
// lets what was done be undone. A directory is read from where the last Tread of its fid ended, or from 0.
//
// # Limits
//
// Each connection has bounded fids, requests and bytes in flight, locks and attribute bytes. What runs over is
// answered with an error or not read until there is room. A message that is not well formed ends its connection. Requests of
// all connections that are carried out at once are bounded, as the threads are that wait for the host.
package server
