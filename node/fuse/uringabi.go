package fuse

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file has the system calls and the shared memory of io_uring, as in include/uapi/linux/io_uring.h, and what FUSE puts
// into it, as in include/uapi/linux/fuse.h, both of Linux 6.18. TestLayout holds the structures against these headers.

const (
	// Of io_uring_setup(2). A ring with these belongs to one thread, and what the kernel has to do in that thread, such as
	// copying a request, it does while the thread is in io_uring_enter(2) and at no other time (Linux 6.1).
	uringSetupCQSize       = 1 << 3
	uringSetupSQE128       = 1 << 10
	uringSetupSingleIssuer = 1 << 12
	uringSetupDeferTaskrun = 1 << 13
	uringSetupNoSQArray    = 1 << 16 // Linux 6.6
	uringSetup             = uringSetupCQSize | uringSetupSQE128 | uringSetupSingleIssuer | uringSetupDeferTaskrun | uringSetupNoSQArray

	uringFeatSingleMmap = 1 << 0
	uringOffSQEs        = 0x10000000 // IORING_OFF_SQES

	// Of io_uring_enter(2).
	uringEnterGetEvents = 1 << 0
	uringEnterExtArg    = 1 << 3

	uringOpPollAdd    = 6
	uringOpCmd        = 46
	uringPollAddMulti = 1 << 0 // in the length of a POLL_ADD: complete it each time
	uringPollIn       = unix.POLLIN
	uringCQEMore      = 1 << 1

	// enum fuse_uring_cmd.
	fuseURingRegister       = 1
	fuseURingCommitAndFetch = 2
)

// uringParams is struct io_uring_params.
type uringParams struct {
	SQEntries    uint32
	CQEntries    uint32
	Flags        uint32
	SQThreadCPU  uint32
	SQThreadIdle uint32
	Features     uint32
	WQFd         uint32
	_            [3]uint32
	SQ           uringSQOffsets
	CQ           uringCQOffsets
}

// uringSQOffsets is struct io_sqring_offsets.
type uringSQOffsets struct {
	Head, Tail, Mask, Entries, Flags, Dropped, Array, _ uint32
	_                                                   uint64
}

// uringCQOffsets is struct io_cqring_offsets.
type uringCQOffsets struct {
	Head, Tail, Mask, Entries, Overflow, CQEs, Flags, _ uint32
	_                                                   uint64
}

// uringSQE is struct io_uring_sqe of 128 bytes whose command, from byte 48 on, is struct fuse_uring_cmd_req.
type uringSQE struct {
	Opcode   uint8
	Flags    uint8
	Ioprio   uint16
	Fd       int32
	CmdOp    uint32
	_        uint32
	Addr     uint64
	Len      uint32
	OpFlags  uint32 // poll32_events of a POLL_ADD
	UserData uint64
	_        [8]byte
	CmdFlags uint64
	CommitID uint64
	QID      uint16
	_        [62]byte
}

// uringCQE is struct io_uring_cqe.
type uringCQE struct {
	UserData uint64
	Res      int32
	Flags    uint32
}

// uringGeteventsArg is struct io_uring_getevents_arg, with the address of the timeout.
type uringGeteventsArg struct {
	Sigmask     uint64
	SigmaskSize uint32
	MinWaitUsec uint32
	Ts          uint64
}

// uringHead is struct fuse_uring_req_header: the head of a request on its way in, that of its reply on the way out.
type uringHead struct {
	InOut       [128 / 8]uint64
	OpIn        [128 / 8]uint64
	Flags       uint64
	CommitID    uint64
	PayloadSize uint32
	_           uint32
	_           uint64
}

// uring is a ring and its shared memory. It is for one thread.
type uring struct {
	fd      int
	mapped  [][]byte
	sqHead  *uint32
	sqTail  *uint32
	sqes    []uringSQE
	cqHead  *uint32
	cqTail  *uint32
	cqes    []uringCQE
	timeout unix.Timespec
	arg     uringGeteventsArg
}

// newURing makes a ring of the calling thread. It has room for that many submissions and completions, powers of 2; completions
// beyond that the kernel keeps until there is room again.
func newURing(submissions, completions uint32) (*uring, error) {
	p := uringParams{Flags: uringSetup, CQEntries: completions}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(submissions), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, errno
	}
	u := &uring{fd: int(fd)}
	if p.Features&uringFeatSingleMmap == 0 {
		u.close()
		return nil, unix.ENOSYS
	}
	rings, err := u.mmap(0, max(int(p.SQ.Flags+4), int(p.CQ.CQEs)+int(p.CQEntries)*int(unsafe.Sizeof(uringCQE{}))))
	if err != nil {
		return nil, err
	}
	sqes, err := u.mmap(uringOffSQEs, int(p.SQEntries)*int(unsafe.Sizeof(uringSQE{})))
	if err != nil {
		return nil, err
	}
	word := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&rings[offset])) }
	u.sqHead, u.sqTail = word(p.SQ.Head), word(p.SQ.Tail)
	u.cqHead, u.cqTail = word(p.CQ.Head), word(p.CQ.Tail)
	u.sqes = unsafe.Slice((*uringSQE)(unsafe.Pointer(&sqes[0])), p.SQEntries)
	u.cqes = unsafe.Slice((*uringCQE)(unsafe.Pointer(&rings[p.CQ.CQEs])), p.CQEntries)
	u.arg.Ts = uint64(uintptr(unsafe.Pointer(&u.timeout)))
	return u, nil
}

// mmap maps a part of the ring. When it fails it closes the ring.
func (u *uring) mmap(offset int64, length int) ([]byte, error) {
	mem, err := unix.Mmap(u.fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		u.close()
		return nil, err
	}
	u.mapped = append(u.mapped, mem)
	return mem, nil
}

func (u *uring) close() {
	for _, mem := range u.mapped {
		_ = unix.Munmap(mem)
	}
	_ = unix.Close(u.fd)
}

// room reports whether another submission can be added before the next enter.
func (u *uring) room() bool { return u.queued() < uint32(len(u.sqes)) }

// queued is the number of submissions that the kernel has not taken yet.
func (u *uring) queued() uint32 { return *u.sqTail - atomic.LoadUint32(u.sqHead) }

// add adds a submission, for which there must be room.
func (u *uring) add(s *uringSQE) {
	tail := *u.sqTail
	u.sqes[tail&uint32(len(u.sqes)-1)] = *s
	atomic.StoreUint32(u.sqTail, tail+1)
}

// next takes a completion.
func (u *uring) next() (uringCQE, bool) {
	head := *u.cqHead
	if head == atomic.LoadUint32(u.cqTail) {
		return uringCQE{}, false
	}
	c := u.cqes[head&uint32(len(u.cqes)-1)]
	atomic.StoreUint32(u.cqHead, head+1)
	return c, true
}

// enter submits what was added, has the kernel do its work in this thread, and waits until there are wait completions, for at
// most u.timeout unless that is zero. The scheduler is told: the thread may sleep.
func (u *uring) enter(wait uintptr) unix.Errno {
	flags, arg, size := uintptr(uringEnterGetEvents), unsafe.Pointer(nil), uintptr(0)
	if u.timeout != (unix.Timespec{}) {
		flags |= uringEnterExtArg
		arg, size = unsafe.Pointer(&u.arg), unsafe.Sizeof(u.arg)
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(u.fd), uintptr(u.queued()), wait, flags, uintptr(arg), size)
	return errno
}

// addressOf is the address of what p points to, which must not be on a stack.
func addressOf[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

// notifyEventfd adds 1 to an eventfd(2), which never blocks short of 2⁶⁴.
func notifyEventfd(fd int) {
	one := uint64(1)
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
}

// headBytes is the memory of h.
func headBytes(h *uringHead) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(h)), unsafe.Sizeof(*h))
}

// headsOf returns the n heads that begin mem, which is aligned to a page.
func headsOf(mem []byte, n int) []uringHead {
	_ = mem[n*int(unsafe.Sizeof(uringHead{}))-1]
	return unsafe.Slice((*uringHead)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

// sliceOf is the memory that v points to.
func sliceOf(v *unix.Iovec) []byte { return unsafe.Slice(v.Base, v.Len) }

// remap puts the range of the file at offset behind the mapped memory b.
func remap(b []byte, fd int, offset int64) error {
	_, err := unix.MmapPtr(fd, offset, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
	return err
}
