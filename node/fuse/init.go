package fuse

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrProtocol says that the kernel's FUSE protocol is not one that this package speaks: 7.31 (Linux 5.4) or a later 7.
var ErrProtocol = errors.New("fuse: kernel's protocol version not supported")

// InitRecord is what a connection negotiated: flat and without pointers, so that it can live in memory shared with the process
// that resumes the connection. It is written once, before the answer to INIT.
type InitRecord struct {
	state uint32 // initDone when the rest is valid
	_     uint32
	In    InitIn
	Out   InitOut
}

// InitRecordSize is the size of an [InitRecord] in bytes.
const InitRecordSize = int(unsafe.Sizeof(InitRecord{}))

// initDone marks a complete record of this layout.
const initDone = 0x31505a49

// Flags are the flags that both sides agreed on.
func (i *InitRecord) Flags() InitFlags {
	return InitFlags(i.Out.Flags) | InitFlags(i.Out.Flags2)<<32
}

// Offered are the flags that the kernel offered.
func (i *InitRecord) Offered() InitFlags { return i.In.offered() }

func (i *InitRecord) done() bool { return atomic.LoadUint32(&i.state) == initDone }

func (in *InitIn) offered() InitFlags {
	flags := InitFlags(in.Flags)
	if flags&InitExt != 0 {
		flags |= InitFlags(in.Flags2) << 32
	}
	return flags
}

// negotiate fills the record from the kernel's INIT. A successor that finds the record done but INIT unanswered is resent
// INIT, and answers it from the record.
func (i *InitRecord) negotiate(in *InitIn, cfg *Config) error {
	if in.Major != kernelMajor || in.Minor < minKernelMinor {
		return fmt.Errorf("%w: it speaks %d.%d, needed is %d.%d or a later %d", ErrProtocol,
			in.Major, in.Minor, kernelMajor, minKernelMinor, kernelMajor)
	}
	flags := (cfg.Flags | protocolFlags) & in.offered()
	i.In = *in
	i.Out = InitOut{
		Major:               kernelMajor,
		Minor:               min(in.Minor, kernelMinor),
		MaxReadahead:        in.MaxReadahead,
		Flags:               uint32(flags),
		Flags2:              uint32(flags >> 32),
		MaxBackground:       cfg.MaxBackground,
		CongestionThreshold: cfg.CongestionThreshold,
		MaxWrite:            uint32(cfg.MaxWrite),
		TimeGran:            1,
		MaxPages:            uint16(cfg.MaxWrite / os.Getpagesize()),
	}
	atomic.StoreUint32(&i.state, initDone)
	return nil
}

// initRecordIn returns the record in state, or one of its own without.
func initRecordIn(state []byte) (*InitRecord, error) {
	if state == nil {
		return new(InitRecord), nil
	}
	if len(state) < InitRecordSize {
		return nil, fmt.Errorf("fuse: Config.State has %d bytes, needs %d: %w", len(state), InitRecordSize, unix.EINVAL)
	}
	return view[InitRecord](state), nil
}
