package fuse

import (
	"testing"
	"unsafe"
)

// layout is what the structures have and what a C compiler gives those of include/uapi/linux/fuse.h.
var layout = []struct {
	name      string
	got, want uintptr
}{
	{"fuse_in_header", unsafe.Sizeof(InHeader{}), 40},
	{"fuse_in_header.nodeid", unsafe.Offsetof(InHeader{}.NodeID), 16},
	{"fuse_in_header.pid", unsafe.Offsetof(InHeader{}.PID), 32},
	{"fuse_in_header.total_extlen", unsafe.Offsetof(InHeader{}.TotalExtlen), 36},
	{"fuse_out_header", unsafe.Sizeof(OutHeader{}), 16},
	{"fuse_out_header.unique", unsafe.Offsetof(OutHeader{}.Unique), 8},
	{"fuse_attr", unsafe.Sizeof(Attr{}), 88},
	{"fuse_attr.atimensec", unsafe.Offsetof(Attr{}.AtimeNsec), 48},
	{"fuse_attr.mode", unsafe.Offsetof(Attr{}.Mode), 60},
	{"fuse_attr.rdev", unsafe.Offsetof(Attr{}.Rdev), 76},
	{"fuse_attr.flags", unsafe.Offsetof(Attr{}.Flags), 84},
	{"fuse_entry_out", unsafe.Sizeof(EntryOut{}), 128},
	{"fuse_entry_out.entry_valid_nsec", unsafe.Offsetof(EntryOut{}.EntryValidNsec), 32},
	{"fuse_entry_out.attr", unsafe.Offsetof(EntryOut{}.Attr), 40},
	{"fuse_attr_out", unsafe.Sizeof(AttrOut{}), 104},
	{"fuse_attr_out.attr", unsafe.Offsetof(AttrOut{}.Attr), 16},
	{"fuse_statfs_out", unsafe.Sizeof(StatfsOut{}), 80},
	{"fuse_statfs_out.bsize", unsafe.Offsetof(StatfsOut{}.Bsize), 40},
	{"fuse_file_lock", unsafe.Sizeof(FileLock{}), 24},
	{"fuse_forget_in", unsafe.Sizeof(ForgetIn{}), 8},
	{"fuse_forget_one", unsafe.Sizeof(ForgetOne{}), 16},
	{"fuse_batch_forget_in", unsafe.Sizeof(BatchForgetIn{}), 8},
	{"fuse_getattr_in", unsafe.Sizeof(GetattrIn{}), 16},
	{"fuse_getattr_in.fh", unsafe.Offsetof(GetattrIn{}.Fh), 8},
	{"fuse_setattr_in", unsafe.Sizeof(SetattrIn{}), 88},
	{"fuse_setattr_in.lock_owner", unsafe.Offsetof(SetattrIn{}.LockOwner), 24},
	{"fuse_setattr_in.mode", unsafe.Offsetof(SetattrIn{}.Mode), 68},
	{"fuse_setattr_in.uid", unsafe.Offsetof(SetattrIn{}.UID), 76},
	{"fuse_mknod_in", unsafe.Sizeof(MknodIn{}), 16},
	{"fuse_mkdir_in", unsafe.Sizeof(MkdirIn{}), 8},
	{"fuse_rename_in", unsafe.Sizeof(RenameIn{}), 8},
	{"fuse_rename2_in", unsafe.Sizeof(Rename2In{}), 16},
	{"fuse_link_in", unsafe.Sizeof(LinkIn{}), 8},
	{"fuse_open_in", unsafe.Sizeof(OpenIn{}), 8},
	{"fuse_create_in", unsafe.Sizeof(CreateIn{}), 16},
	{"fuse_open_out", unsafe.Sizeof(OpenOut{}), 16},
	{"fuse_release_in", unsafe.Sizeof(ReleaseIn{}), 24},
	{"fuse_release_in.lock_owner", unsafe.Offsetof(ReleaseIn{}.LockOwner), 16},
	{"fuse_flush_in", unsafe.Sizeof(FlushIn{}), 24},
	{"fuse_flush_in.lock_owner", unsafe.Offsetof(FlushIn{}.LockOwner), 16},
	{"fuse_read_in", unsafe.Sizeof(ReadIn{}), 40},
	{"fuse_read_in.lock_owner", unsafe.Offsetof(ReadIn{}.LockOwner), 24},
	{"fuse_read_in.flags", unsafe.Offsetof(ReadIn{}.Flags), 32},
	{"fuse_write_in", unsafe.Sizeof(WriteIn{}), 40},
	{"fuse_write_in.write_flags", unsafe.Offsetof(WriteIn{}.WriteFlags), 20},
	{"fuse_write_out", unsafe.Sizeof(WriteOut{}), 8},
	{"fuse_fsync_in", unsafe.Sizeof(FsyncIn{}), 16},
	{"FUSE_COMPAT_SETXATTR_IN_SIZE", unsafe.Sizeof(SetxattrIn{}), 8},
	{"fuse_getxattr_in", unsafe.Sizeof(GetxattrIn{}), 8},
	{"fuse_getxattr_out", unsafe.Sizeof(GetxattrOut{}), 8},
	{"fuse_lk_in", unsafe.Sizeof(LkIn{}), 48},
	{"fuse_lk_in.lk_flags", unsafe.Offsetof(LkIn{}.LkFlags), 40},
	{"fuse_init_in", unsafe.Sizeof(InitIn{}), 64},
	{"fuse_init_in.flags2", unsafe.Offsetof(InitIn{}.Flags2), 16},
	{"fuse_init_out", unsafe.Sizeof(InitOut{}), 64},
	{"fuse_init_out.max_write", unsafe.Offsetof(InitOut{}.MaxWrite), 20},
	{"fuse_init_out.max_pages", unsafe.Offsetof(InitOut{}.MaxPages), 28},
	{"fuse_init_out.flags2", unsafe.Offsetof(InitOut{}.Flags2), 32},
	{"fuse_init_out.request_timeout", unsafe.Offsetof(InitOut{}.RequestTimeout), 40},
	{"fuse_interrupt_in", unsafe.Sizeof(InterruptIn{}), 8},
	{"fuse_dirent.name", unsafe.Sizeof(direntHeader{}), 24},
	{"fuse_notify_inval_inode_out", unsafe.Sizeof(notifyInvalInodeOut{}), 24},
	{"fuse_notify_inval_entry_out", unsafe.Sizeof(notifyInvalEntryOut{}), 16},
}

// uringLayout is the same for include/uapi/linux/io_uring.h and the io_uring part of fuse.h.
var uringLayout = []struct {
	name      string
	got, want uintptr
}{
	{"io_uring_params", unsafe.Sizeof(uringParams{}), 120},
	{"io_uring_params.features", unsafe.Offsetof(uringParams{}.Features), 20},
	{"io_uring_params.sq_off", unsafe.Offsetof(uringParams{}.SQ), 40},
	{"io_uring_params.cq_off", unsafe.Offsetof(uringParams{}.CQ), 80},
	{"io_sqring_offsets", unsafe.Sizeof(uringSQOffsets{}), 40},
	{"io_sqring_offsets.flags", unsafe.Offsetof(uringSQOffsets{}.Flags), 16},
	{"io_cqring_offsets", unsafe.Sizeof(uringCQOffsets{}), 40},
	{"io_cqring_offsets.cqes", unsafe.Offsetof(uringCQOffsets{}.CQEs), 20},
	{"io_uring_sqe of SQE128", unsafe.Sizeof(uringSQE{}), 128},
	{"io_uring_sqe.fd", unsafe.Offsetof(uringSQE{}.Fd), 4},
	{"io_uring_sqe.cmd_op", unsafe.Offsetof(uringSQE{}.CmdOp), 8},
	{"io_uring_sqe.addr", unsafe.Offsetof(uringSQE{}.Addr), 16},
	{"io_uring_sqe.len", unsafe.Offsetof(uringSQE{}.Len), 24},
	{"io_uring_sqe.poll32_events", unsafe.Offsetof(uringSQE{}.OpFlags), 28},
	{"io_uring_sqe.user_data", unsafe.Offsetof(uringSQE{}.UserData), 32},
	{"io_uring_sqe.cmd", unsafe.Offsetof(uringSQE{}.CmdFlags), 48},
	{"fuse_uring_cmd_req.commit_id", unsafe.Offsetof(uringSQE{}.CommitID) - unsafe.Offsetof(uringSQE{}.CmdFlags), 8},
	{"fuse_uring_cmd_req.qid", unsafe.Offsetof(uringSQE{}.QID) - unsafe.Offsetof(uringSQE{}.CmdFlags), 16},
	{"io_uring_cqe", unsafe.Sizeof(uringCQE{}), 16},
	{"io_uring_cqe.res", unsafe.Offsetof(uringCQE{}.Res), 8},
	{"io_uring_getevents_arg", unsafe.Sizeof(uringGeteventsArg{}), 24},
	{"io_uring_getevents_arg.ts", unsafe.Offsetof(uringGeteventsArg{}.Ts), 16},
	{"__kernel_timespec", unsafe.Sizeof(uring{}.timeout), 16},
	{"fuse_uring_req_header", unsafe.Sizeof(uringHead{}), 288},
	{"fuse_uring_req_header.op_in", unsafe.Offsetof(uringHead{}.OpIn), 128},
	{"fuse_uring_ent_in_out.commit_id", unsafe.Offsetof(uringHead{}.CommitID) - unsafe.Offsetof(uringHead{}.Flags), 8},
	{"fuse_uring_ent_in_out.payload_sz", unsafe.Offsetof(uringHead{}.PayloadSize) - unsafe.Offsetof(uringHead{}.Flags), 16},
}

func TestLayout(t *testing.T) {
	for _, c := range append(layout, uringLayout...) {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.got, c.want)
		}
	}
}

// TestRoomForReplies checks the buffers inside a Request against what they must hold.
func TestRoomForReplies(t *testing.T) {
	if largest := outHeaderSize + entrySize + openSize; largest > outSize {
		t.Errorf("the largest reply takes %d bytes of %d", largest, outSize)
	}
	const twoNames = 2 * 256
	if n := inHeaderSize + int(unsafe.Sizeof(Rename2In{})) + twoNames; n > inlineSize {
		t.Errorf("RENAME2 takes %d bytes of %d", n, inlineSize)
	}
}
