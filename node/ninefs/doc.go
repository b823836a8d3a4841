// Package ninefs makes a file system of a directory on a 9P server: FUSE requests come in ([FS.Handle]), 9P calls go out.
//
// READ and WRITE are started on the goroutine that read the request and answered on the one that the server's reply came in
// on. Every other request has a worker of a bounded pool to itself while it waits. None waits longer than its caller wants to
// live: an interrupt gives it a short grace, see patience.go.
//
// Who is who. A node is a file that the kernel has a node id for. Nodes are found by what the server calls the file (qid.path
// and its type), so that hard links share one, and by where they were last seen. A node's fid is kept while there is room
// (FidCache), and walked to again by names when needed; a file found there that is not the node's answers ESTALE, which
// makes the kernel look the path up again. An open file has a fid of its own, and goes on when its name is gone, or another's.
//
// What is flat. Node and handle ids are table indices with a generation; the tables' records are in memfds (Table), so that
// another process can go on where this one ends.
//
// Who sees what. In CloseToOpen every OPEN asks the server by name what the file is now. If that is not what the kernel was
// told or has in its pages, those are dropped before the answer; if a change could have left no trace, because the
// file changed within the last two seconds before its pages were read, they are dropped as well. So what another client closed
// before is seen from the next open on, and in the same way from the next fcntl(2) or flock(2) lock on. Writes are on the
// server before write(2) returns. Between opens, names and attributes may be as old as Options.AttrTimeout. An O_APPEND write
// goes to where the file ended on the server at most Options.AttrTimeout ago. In CacheNone the kernel keeps
// nothing, and asks for everything.
//
// In Loose it knows better than the server how long a file is and when it was written, and has pages that the server is yet to
// get; see loose.go. A file that another client changed all the same gets another node when nobody here has it open.
//
// Limits. RENAME_NOREPLACE and RENAME_EXCHANGE are EINVAL, O_TMPFILE and fallocate(2) EOPNOTSUPP: 9P has no message for them.
// POSIX ACLs are EOPNOTSUPP, because the kernel that checks permissions here does not see them. On servers that go by path
// instead of holding files open (diod, QEMU before 10) an unlinked open file can be read and written, but neither truncated
// nor its mode, owner or times changed.
package ninefs
