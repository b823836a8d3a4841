package fuse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Offer is what the kernel says of its FUSE in INIT.
type Offer struct {
	Major, Minor uint32
	Flags        InitFlags
}

// Check tells whether this package speaks the protocol offered; if not, the error wraps [ErrProtocol].
func (o Offer) Check() error {
	if o.Major != kernelMajor || o.Minor < minKernelMinor {
		return fmt.Errorf("%w: it speaks %d.%d, needed is %d.%d or a later %d", ErrProtocol,
			o.Major, o.Minor, kernelMajor, minKernelMinor, kernelMajor)
	}
	return nil
}

// OverIOURing tells whether requests may come by io_uring.
func (o Offer) OverIOURing() bool { return o.Flags&overIOURing != 0 }

// probeTimeout bounds the wait for INIT, which the kernel queues before the file system counts as made.
const probeTimeout = 2 * time.Second

// Probe asks the kernel what it offers. It makes a FUSE file system that is attached nowhere and is gone when Probe returns, for
// which it needs CAP_SYS_ADMIN and Linux 5.4, where FUSE came to fsopen(2).
func Probe() (Offer, error) {
	dev, err := OpenDevice()
	if err != nil {
		return Offer{}, err
	}
	defer dev.Close() // ends the connection, should the file system be alive still
	fs, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return Offer{}, os.NewSyscallError("fsopen fuse", err)
	}
	defer unix.Close(fs)
	fd := int(dev.Fd())
	for _, option := range [...][2]string{
		{"source", "csi-9p"}, {"fd", strconv.Itoa(fd)}, {"rootmode", "40000"}, {"user_id", "0"}, {"group_id", "0"},
	} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return Offer{}, os.NewSyscallError("fsconfig fuse "+option[0], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return Offer{}, os.NewSyscallError("fsconfig fuse", err)
	}
	return readOffer(fd)
}

// readOffer reads INIT and leaves it unanswered.
func readOffer(fd int) (Offer, error) {
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(ready, int(probeTimeout.Milliseconds())); err != nil || n == 0 {
		return Offer{}, errors.Join(errors.New("fuse: the kernel does not begin the conversation"), err)
	}
	buf := make([]byte, minReadBuffer)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return Offer{}, &os.PathError{Op: "read", Path: devicePath, Err: err}
	}
	var first struct {
		Head   InHeader
		InitIn // zero beyond what an old kernel sent
	}
	if _, err := binary.Decode(buf, binary.NativeEndian, &first); err != nil || first.Head.Opcode != OpInit {
		return Offer{}, fmt.Errorf("fuse: the kernel begins with %d bytes that are no INIT", n)
	}
	return Offer{Major: first.Major, Minor: first.Minor, Flags: first.offered()}, nil
}
