package ninep

import (
	"context"
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

// Config is what a [Session] is opened with.
type Config struct {
	// Dial makes a connection to the server, first and again after each loss.
	Dial func(context.Context) (transport.Conn, error)
	// Msize is the largest message to propose, in bytes; 0: the most that the transport takes.
	Msize uint32
	// ReconnectTimeout is how long calls wait for a lost server, from the loss on; 0: for ever; negative: not at all.
	ReconnectTimeout time.Duration
}

// Session is one conversation with a server. It outlives its connections. It is safe for concurrent use.
type Session struct{}

// Open dials the server and negotiates.
func Open(ctx context.Context, config Config) (*Session, error) { panic(0) }

// AttachOptions say which tree to attach, and as whom.
type AttachOptions struct {
	UID         uint32 // n_uname: the numeric user; NoUID: by Uname alone
	Uname       string
	Aname       string
	MaxPayload  int   // most payload bytes of one message; 0: what the session takes
	MaxInFlight int64 // payload bytes in flight of all fids walked from this one; 0: no limit
}

// Attach binds a fid to the root of a tree.
func (s *Session) Attach(ctx context.Context, o AttachOptions) (*Fid, error) { panic(0) }

// Close ends the session: the connection is closed, every call fails with [ErrClosed].
func (s *Session) Close() error { panic(0) }

// MaxPayload is the most payload bytes that one message of this session carries.
func (s *Session) MaxPayload() int { panic(0) }

// Status is how a session's connection fares.
type Status struct {
	Connected  bool
	Since      time.Time // of the connection, or of its loss
	Reconnects uint64
	Err        error // why it is lost, or why the last attempt to reconnect failed
}

// Status tells how the connection fares.
func (s *Session) Status() Status { panic(0) }

// Support is what a session has learned of an optional ability of its server.
type Support uint8

// Values of a [Support].
const (
	Unknown Support = iota // not yet asked for
	Supported
	Unsupported
)

// Features is what a session has learned of its server.
type Features struct {
	Msize    uint32
	Unlinkat Support // else Twalk and Tremove
	Renameat Support // else Trename
	Xattr    Support
	Lock     Support
	Statfs   Support
	MaxFids  uint32 // most fids that the server bears at once; 0: no limit met yet
}

// Features tells what was learned of the server since the last connect.
func (s *Session) Features() Features { panic(0) }

// Fid is a file of the server. It is safe for concurrent use, but Clunk, Drop and Remove end it.
type Fid struct{}

// QID identifies the file.
func (f *Fid) QID() QID { panic(0) }

// Path is the file's path from the root of its attach, for messages.
func (f *Fid) Path() string { panic(0) }

// MaxPayload is the most payload bytes of one message on this fid.
func (f *Fid) MaxPayload() int { panic(0) }

// Walk binds a new fid to the file that the names lead to; none: to the same file.
func (f *Fid) Walk(ctx context.Context, names ...string) (*Fid, error) { panic(0) }

// WalkAttr is Walk by one name and Getattr (AttrBasic) of what it leads to.
func (f *Fid) WalkAttr(ctx context.Context, name string) (*Fid, Attr, error) { panic(0) }

// Open opens the file; flags are the host's O_*.
func (f *Fid) Open(ctx context.Context, flags uint32) error { panic(0) }

// Create creates and opens a file in this directory, and the fid becomes the file's: Walk() a clone first.
func (f *Fid) Create(ctx context.Context, name string, flags, mode, gid uint32) error { panic(0) }

// Read reads len(p) bytes at off, less only at the end of the file; 0, nil is the end.
func (f *Fid) Read(ctx context.Context, p []byte, off int64) (int, error) { panic(0) }

// Write writes all of p at off.
func (f *Fid) Write(ctx context.Context, p []byte, off int64) (int, error) { panic(0) }

// IO is one asynchronous read or write. It belongs to the caller, who may use it again once Done was called.
type IO struct {
	Buf         []byte        // lent until Done
	Offset      int64         // in the file, in bytes
	Done        func(*IO)     // called once, from any goroutine; must not block
	LostTimeout time.Duration // as Config.ReconnectTimeout for this IO alone; 0: the session's
	Owner       any           // the caller's

	N   int   // bytes done, when Done is called
	Err error // nil, or why N is less than asked; a read's end of file is no error
}

// StartRead reads len(io.Buf) bytes at io.Offset and calls io.Done.
func (f *Fid) StartRead(io *IO) { panic(0) }

// StartWrite writes io.Buf at io.Offset and calls io.Done.
func (f *Fid) StartWrite(io *IO) { panic(0) }

// Cancel asks for an early end. Done is called as soon as the server has let go of the buffer.
func (io *IO) Cancel() { panic(0) }

// Readdir reads entries into buf from the cookie offset (0: the start) and returns those read: see [NextDirent]. None: the end.
func (f *Fid) Readdir(ctx context.Context, offset uint64, buf []byte) ([]byte, error) { panic(0) }

// Getattr reads attributes.
func (f *Fid) Getattr(ctx context.Context, mask AttrMask) (Attr, error) { panic(0) }

// Setattr changes attributes.
func (f *Fid) Setattr(ctx context.Context, a SetAttr) error { panic(0) }

// Statfs reads the figures of the file system.
func (f *Fid) Statfs(ctx context.Context) (Statfs, error) { panic(0) }

// Fsync makes the file durable.
func (f *Fid) Fsync(ctx context.Context, dataOnly bool) error { panic(0) }

// Mkdir makes a directory in this one.
func (f *Fid) Mkdir(ctx context.Context, name string, mode, gid uint32) (QID, error) { panic(0) }

// Symlink makes a symbolic link in this directory.
func (f *Fid) Symlink(ctx context.Context, name, target string, gid uint32) (QID, error) { panic(0) }

// Mknod makes a special file in this directory; mode has its type.
func (f *Fid) Mknod(ctx context.Context, name string, mode, major, minor, gid uint32) (QID, error) {
	panic(0)
}

// Link makes name in this directory another name of target.
func (f *Fid) Link(ctx context.Context, target *Fid, name string) error { panic(0) }

// Readlink reads a symbolic link.
func (f *Fid) Readlink(ctx context.Context) (string, error) { panic(0) }

// Rename moves oldName of this directory to newName of newDir.
func (f *Fid) Rename(ctx context.Context, oldName string, newDir *Fid, newName string) error {
	panic(0)
}

// Unlink removes a name of this directory; dir: it is a directory.
func (f *Fid) Unlink(ctx context.Context, name string, dir bool) error { panic(0) }

// Remove removes the file and ends the fid, even when it fails (Tremove).
func (f *Fid) Remove(ctx context.Context) error { panic(0) }

// Lock is a byte-range lock.
type Lock struct {
	Type     LockType
	Start    uint64
	Length   uint64 // 0: to the end of the file
	ProcID   uint32 // the owner, as the client numbers its lock owners
	ClientID string // answered by GetLock; Lock sends the session's own
}

// Lock takes or gives back a byte-range lock; it never waits for another owner.
func (f *Fid) Lock(ctx context.Context, l Lock) (LockStatus, error) { panic(0) }

// GetLock returns a lock that is in the way of l, or one of type Unlock.
func (f *Fid) GetLock(ctx context.Context, l Lock) (Lock, error) { panic(0) }

// ListXattr lists the names of the extended attributes.
func (f *Fid) ListXattr(ctx context.Context) ([]string, error) { panic(0) }

// GetXattr reads an extended attribute.
func (f *Fid) GetXattr(ctx context.Context, name string) ([]byte, error) { panic(0) }

// SetXattr writes an extended attribute; flags are XattrCreate, XattrReplace or 0.
func (f *Fid) SetXattr(ctx context.Context, name string, value []byte, flags uint32) error { panic(0) }

// RemoveXattr removes an extended attribute.
func (f *Fid) RemoveXattr(ctx context.Context, name string) error { panic(0) }

// Clunk ends the fid and waits for the server's answer; a lost server ends the wait with nil, because its fids went with
// the connection. Whatever the answer, the fid is gone.
func (f *Fid) Clunk(ctx context.Context) error { panic(0) }

// Drop is Clunk without waiting: it never blocks.
func (f *Fid) Drop() {}
