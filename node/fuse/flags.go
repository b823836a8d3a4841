package fuse

// InitFlags are INIT's flags, those of flags2 in bits 32 to 63 (FUSE_* of fuse.h without the prefix).
type InitFlags uint64

// The flags of INIT.
const (
	AsyncRead         InitFlags = 1 << 0
	PosixLocks        InitFlags = 1 << 1
	AtomicOTrunc      InitFlags = 1 << 3
	ExportSupport     InitFlags = 1 << 4
	BigWrites         InitFlags = 1 << 5
	DontMask          InitFlags = 1 << 6
	FlockLocks        InitFlags = 1 << 10
	AutoInvalData     InitFlags = 1 << 12
	DoReaddirplus     InitFlags = 1 << 13
	ReaddirplusAuto   InitFlags = 1 << 14
	AsyncDIO          InitFlags = 1 << 15
	WritebackCache    InitFlags = 1 << 16
	NoOpenSupport     InitFlags = 1 << 17
	ParallelDirops    InitFlags = 1 << 18
	HandleKillpriv    InitFlags = 1 << 19
	PosixACL          InitFlags = 1 << 20
	AbortError        InitFlags = 1 << 21
	MaxPages          InitFlags = 1 << 22
	CacheSymlinks     InitFlags = 1 << 23
	NoOpendirSupport  InitFlags = 1 << 24
	ExplicitInvalData InitFlags = 1 << 25
	HandleKillprivV2  InitFlags = 1 << 28
	InitExt           InitFlags = 1 << 30
	HasExpireOnly     InitFlags = 1 << 35
	DirectIOAllowMmap InitFlags = 1 << 36
	HasResend         InitFlags = 1 << 39
	AllowIDMap        InitFlags = 1 << 40 // see [Config.Flags]
	overIOURing       InitFlags = 1 << 41 // asked for with [Config.IOURing]
)

// DefaultFlags is what [Config] asks for when Flags is zero. It suits a file system whose server may change under the mount
// and that leaves permissions to the kernel. HandleKillprivV2 is not in it: with that flag the file system, not the kernel,
// must clear setuid and setgid bits.
const DefaultFlags = AsyncRead | PosixLocks | FlockLocks | AtomicOTrunc | DoReaddirplus | ReaddirplusAuto | AsyncDIO |
	ParallelDirops | AutoInvalData

// protocolFlags are asked for always: the package depends on them, or they only say what it understands.
const protocolFlags = BigWrites | MaxPages | AbortError | InitExt | HasResend

// supportedFlags may be asked for. The others change requests in ways that this package does not implement.
const supportedFlags = AsyncRead | PosixLocks | AtomicOTrunc | ExportSupport | BigWrites | DontMask | FlockLocks |
	AutoInvalData | DoReaddirplus | ReaddirplusAuto | AsyncDIO | WritebackCache | NoOpenSupport | ParallelDirops |
	HandleKillpriv | PosixACL | AbortError | MaxPages | CacheSymlinks | NoOpendirSupport | ExplicitInvalData |
	HandleKillprivV2 | InitExt | HasExpireOnly | DirectIOAllowMmap | HasResend | AllowIDMap

// OpenFlags are what OPEN, OPENDIR and CREATE answer (FOPEN_* of fuse.h).
type OpenFlags uint32

// The flags of OPEN's answer.
const (
	OpenDirectIO             OpenFlags = 1 << 0
	OpenKeepCache            OpenFlags = 1 << 1
	OpenNonseekable          OpenFlags = 1 << 2
	OpenCacheDir             OpenFlags = 1 << 3
	OpenStream               OpenFlags = 1 << 4
	OpenNoFlush              OpenFlags = 1 << 5
	OpenParallelDirectWrites OpenFlags = 1 << 6
)

// SetattrValid says which fields of [SetattrIn] count (FATTR_* of fuse.h).
type SetattrValid uint32

// The bits of SetattrIn.Valid.
const (
	SetattrMode        SetattrValid = 1 << 0
	SetattrUID         SetattrValid = 1 << 1
	SetattrGID         SetattrValid = 1 << 2
	SetattrSize        SetattrValid = 1 << 3
	SetattrAtime       SetattrValid = 1 << 4
	SetattrMtime       SetattrValid = 1 << 5
	SetattrFh          SetattrValid = 1 << 6
	SetattrAtimeNow    SetattrValid = 1 << 7
	SetattrMtimeNow    SetattrValid = 1 << 8
	SetattrLockOwner   SetattrValid = 1 << 9
	SetattrCtime       SetattrValid = 1 << 10
	SetattrKillSUIDGID SetattrValid = 1 << 11
)

// WriteFlags qualify a WRITE (FUSE_WRITE_* of fuse.h).
type WriteFlags uint32

// The flags of WriteIn.WriteFlags.
const (
	WriteCache       WriteFlags = 1 << 0 // write-back of a page: UID and PID are not the writer's
	WriteLockOwner   WriteFlags = 1 << 1
	WriteKillSUIDGID WriteFlags = 1 << 2
)

// Single flags of other requests.
const (
	OpenKillSUIDGID    = 1 << 0 // OpenIn.OpenFlags: with O_TRUNC, clear setuid and setgid bits
	GetattrFh          = 1 << 0 // GetattrIn.Flags: Fh counts
	ReleaseFlush       = 1 << 0 // ReleaseIn.ReleaseFlags
	ReleaseFlockUnlock = 1 << 1 // ReleaseIn.ReleaseFlags: LockOwner's flock is to be dropped
	LkFlock            = 1 << 0 // LkIn.LkFlags: flock(2), not fcntl(2)
	ReadLockOwner      = 1 << 1 // ReadIn.ReadFlags
	FsyncDataOnly      = 1 << 0 // FsyncIn.FsyncFlags: fdatasync(2)
)
