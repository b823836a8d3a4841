// Package params reads a volume's parameters: a StorageClass's parameters, a
// PersistentVolume's volumeAttributes, its mountOptions and the options of
// csi-9p mount, which all use one set of names. Keys are read
// case-insensitively and an unknown key is an error; so is a value whose
// machinery this release lacks, because an option that is silently ignored is
// worse than one that is refused.
package params

import (
	"errors"
	"fmt"
	"time"
)

// ErrInvalid is wrapped by every error of this package: the caller's input is
// wrong and trying again as it is cannot help.
var ErrInvalid = errors.New("invalid parameter")

// Error tells which parameter is wrong and what would be right.
type Error struct {
	Key    string // as its owner wrote it
	Value  string // empty where the key itself is the fault
	Reason string
}

func (e *Error) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("parameter %s: %s", e.Key, e.Reason)
	}
	return fmt.Sprintf("parameter %s=%q: %s", e.Key, e.Value, e.Reason)
}

// Unwrap makes errors.Is(err, ErrInvalid) true.
func (e *Error) Unwrap() error { return ErrInvalid }

// OnDelete says what becomes of a volume's directory when the volume is deleted.
type OnDelete string

// The values of onDelete.
const (
	Delete  OnDelete = "delete"  // the tree is removed
	Retain  OnDelete = "retain"  // the tree stays where it is
	Archive OnDelete = "archive" // the tree is renamed, beside its old place
)

// Dialect says which dialect of 9P a node speaks to the server.
type Dialect string

// The values of dialect.
const (
	DialectL      Dialect = "9P2000.L"
	DialectU      Dialect = "9P2000.u"
	DialectLegacy Dialect = "9P2000"
	DialectAuto   Dialect = "auto" // the first of these that the server speaks
)

// ZeroCopy says whether payload may bypass a copy in this process.
type ZeroCopy string

// The values of zeroCopy.
const (
	ZeroCopyAuto    ZeroCopy = "auto"
	ZeroCopyOff     ZeroCopy = "off"
	ZeroCopyRequire ZeroCopy = "require"
)

// Cache says how long a node may believe what the server told it.
type Cache string

// The values of cache.
const (
	CacheAuto        Cache = "auto"
	CacheNone        Cache = "none"
	CacheCloseToOpen Cache = "close-to-open"
	CacheLoose       Cache = "loose"
)

// Access says who a node is to the server.
type Access string

// The values of access.
const (
	AccessSingle Access = "single" // one attach; the kernel checks permissions
	AccessUser   Access = "user"   // one attach per local uid; the server checks
)

// Engine says which client mounts a volume.
type Engine string

// The values of engine.
const (
	EngineEmbedded Engine = "embedded"
	EngineKernel   Engine = "kernel"
)

// Capacity says what a volume's size means to those who use it.
type Capacity string

// The values of capacity.
const (
	CapacityNone    Capacity = "none"    // statfs shows the whole share
	CapacityReport  Capacity = "report"  // statfs shows the volume's own size
	CapacityEnforce Capacity = "enforce" // as report, and writing past it fails
)

// Parameters are a volume's parameters with every default filled in. Two
// Parameters mean the same volume if and only if they are equal by ==.
type Parameters struct {
	Share            string // name in the driver's configuration; empty if Server is set
	Server           string // canonical URL without an aname; empty if Share is set
	Aname            string // tree to attach; "/" unless told otherwise; meaningless with Share
	ControllerServer string // canonical URL of the controller's road, or empty; may carry an aname
	TLSServerName    string // what the certificate of a tls server must be for; empty: its host

	SubDir   string // template of the directory; a literal path in a static volume
	OnDelete OnDelete
	UID, GID uint32
	Mode     uint32 // permission bits, setuid, setgid and sticky

	Dialect           Dialect
	Msize             uint32 // most payload bytes in one message; 0: auto
	ZeroCopy          ZeroCopy
	ZeroCopyThreshold int64 // bytes
	MaxInFlight       int64 // payload bytes in flight
	ReadAhead         int64 // bytes
	Cache             Cache
	AttrTimeout       time.Duration // 0: attributes are not kept
	Access            Access
	AttachUID         uint32
	ReconnectTimeout  time.Duration // 0: for ever
	WritebackTimeout  time.Duration // 0: for ever
	Engine            Engine
	Capacity          Capacity
}

// DefaultSubDir names a volume's directory after its PersistentVolume.
const DefaultSubDir = "${pv.metadata.name}"

// defaultThreshold is the payload, in bytes, from which a copy costs more than
// keeping it apart from its head.
const defaultThreshold = 1024

// Defaults returns the parameters of a volume that sets none.
func Defaults() Parameters {
	return Parameters{
		Aname:             "/",
		SubDir:            DefaultSubDir,
		OnDelete:          Delete,
		Mode:              0o777,
		Dialect:           DialectL,
		ZeroCopy:          ZeroCopyAuto,
		ZeroCopyThreshold: defaultThreshold,
		MaxInFlight:       16 << 20,
		ReadAhead:         1 << 20,
		Cache:             CacheAuto,
		AttrTimeout:       time.Second,
		Access:            AccessSingle,
		ReconnectTimeout:  5 * time.Minute,
		WritebackTimeout:  30 * time.Second,
		Engine:            EngineEmbedded,
		Capacity:          CapacityReport,
	}
}
