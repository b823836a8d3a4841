package fuse

import (
	"bytes"
	"errors"
	"unsafe"
)

// errMalformed says that a request does not have its opcode's shape.
var errMalformed = errors.New("malformed request")

// shape is what a request of one opcode consists of, after its header. Where no type for the argument is declared, it is only a name.
type shape struct {
	name  string
	args  uintptr // size of the fixed argument
	names int     // NUL-terminated strings after it
}

// shapes is indexed by opcode (Linux 6.18, fs/fuse: the in_args of each request).
var shapes = [...]shape{
	OpLookup:          {name: "LOOKUP", names: 1},
	OpForget:          {name: "FORGET", args: unsafe.Sizeof(ForgetIn{})},
	OpGetattr:         {name: "GETATTR", args: unsafe.Sizeof(GetattrIn{})},
	OpSetattr:         {name: "SETATTR", args: unsafe.Sizeof(SetattrIn{})},
	OpReadlink:        {name: "READLINK"},
	OpSymlink:         {name: "SYMLINK", names: 2},
	OpMknod:           {name: "MKNOD", args: unsafe.Sizeof(MknodIn{}), names: 1},
	OpMkdir:           {name: "MKDIR", args: unsafe.Sizeof(MkdirIn{}), names: 1},
	OpUnlink:          {name: "UNLINK", names: 1},
	OpRmdir:           {name: "RMDIR", names: 1},
	OpRename:          {name: "RENAME", args: unsafe.Sizeof(RenameIn{}), names: 2},
	OpLink:            {name: "LINK", args: unsafe.Sizeof(LinkIn{}), names: 1},
	OpOpen:            {name: "OPEN", args: unsafe.Sizeof(OpenIn{})},
	OpRead:            {name: "READ", args: unsafe.Sizeof(ReadIn{})},
	OpWrite:           {name: "WRITE", args: unsafe.Sizeof(WriteIn{})},
	OpStatfs:          {name: "STATFS"},
	OpRelease:         {name: "RELEASE", args: unsafe.Sizeof(ReleaseIn{})},
	OpFsync:           {name: "FSYNC", args: unsafe.Sizeof(FsyncIn{})},
	OpSetxattr:        {name: "SETXATTR", args: unsafe.Sizeof(SetxattrIn{}), names: 1},
	OpGetxattr:        {name: "GETXATTR", args: unsafe.Sizeof(GetxattrIn{}), names: 1},
	OpListxattr:       {name: "LISTXATTR", args: unsafe.Sizeof(GetxattrIn{})},
	OpRemovexattr:     {name: "REMOVEXATTR", names: 1},
	OpFlush:           {name: "FLUSH", args: unsafe.Sizeof(FlushIn{})},
	OpInit:            {name: "INIT", args: unsafe.Sizeof(InitIn{})},
	OpOpendir:         {name: "OPENDIR", args: unsafe.Sizeof(OpenIn{})},
	OpReaddir:         {name: "READDIR", args: unsafe.Sizeof(ReadIn{})},
	OpReleasedir:      {name: "RELEASEDIR", args: unsafe.Sizeof(ReleaseIn{})},
	OpFsyncdir:        {name: "FSYNCDIR", args: unsafe.Sizeof(FsyncIn{})},
	OpGetlk:           {name: "GETLK", args: unsafe.Sizeof(LkIn{})},
	OpSetlk:           {name: "SETLK", args: unsafe.Sizeof(LkIn{})},
	OpSetlkw:          {name: "SETLKW", args: unsafe.Sizeof(LkIn{})},
	OpAccess:          {name: "ACCESS"},
	OpCreate:          {name: "CREATE", args: unsafe.Sizeof(CreateIn{}), names: 1},
	OpInterrupt:       {name: "INTERRUPT", args: unsafe.Sizeof(InterruptIn{})},
	OpBmap:            {name: "BMAP"},
	OpDestroy:         {name: "DESTROY"},
	OpIoctl:           {name: "IOCTL"},
	OpPoll:            {name: "POLL"},
	OpNotifyReply:     {name: "NOTIFY_REPLY"},
	OpBatchForget:     {name: "BATCH_FORGET", args: unsafe.Sizeof(BatchForgetIn{})},
	OpFallocate:       {name: "FALLOCATE"},
	OpReaddirplus:     {name: "READDIRPLUS", args: unsafe.Sizeof(ReadIn{})},
	OpRename2:         {name: "RENAME2", args: unsafe.Sizeof(Rename2In{}), names: 2},
	OpLseek:           {name: "LSEEK"},
	OpCopyFileRange:   {name: "COPY_FILE_RANGE"},
	OpSetupMapping:    {name: "SETUPMAPPING"},
	OpRemoveMapping:   {name: "REMOVEMAPPING"},
	OpSyncfs:          {name: "SYNCFS"},
	OpTmpfile:         {name: "TMPFILE", args: unsafe.Sizeof(CreateIn{}), names: 1},
	OpStatx:           {name: "STATX"},
	OpCopyFileRange64: {name: "COPY_FILE_RANGE_64"},
}

// cutName splits a NUL-terminated string from b.
func cutName(b []byte) (name, rest []byte, err error) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, errMalformed
	}
	return b[:i:i], b[i+1:], nil
}
