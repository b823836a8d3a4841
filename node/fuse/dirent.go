package fuse

import "unsafe"

const (
	direntHeaderSize = int(unsafe.Sizeof(direntHeader{}))
	// direntAlign is what every entry's size is rounded up to (FUSE_DIRENT_ALIGN).
	direntAlign = 8
)

// Dirent is one entry of a directory.
type Dirent struct {
	Ino  uint64
	Off  uint64 // where reading goes on after this entry: the Offset of a later READDIR
	Type uint32 // DT_* of readdir(3)
	Name string
}

// DirentBuilder lays out the answer to READDIR (Add) or READDIRPLUS (AddPlus) in memory of the caller.
type DirentBuilder struct {
	buf  []byte
	used int
}

// NewDirentBuilder builds into buf, whose length is the Size asked for and whose address is a multiple of 8.
func NewDirentBuilder(buf []byte) DirentBuilder { return DirentBuilder{buf: buf} }

// Add appends d (struct fuse_dirent). It reports false, and appends nothing, when there is no room.
func (b *DirentBuilder) Add(d Dirent) bool { return b.add(0, d) }

// AddPlus appends d (struct fuse_direntplus) and returns the place of its attributes, to be filled in now or until the reply:
// zeroed, as it comes, it says that nothing is known and counts as no lookup. It returns nil when there is no room.
func (b *DirentBuilder) AddPlus(d Dirent) *EntryOut {
	at := b.used
	if !b.add(entrySize, d) {
		return nil
	}
	return view[EntryOut](b.buf[at:])
}

// Bytes is what was built so far, for [Request.ReplyData].
func (b *DirentBuilder) Bytes() []byte { return b.buf[:b.used] }

// add appends lead zero bytes and d, zero padded.
func (b *DirentBuilder) add(lead int, d Dirent) bool {
	size := lead + direntHeaderSize + len(d.Name)
	padded := (size + direntAlign - 1) &^ (direntAlign - 1)
	if padded > len(b.buf)-b.used {
		return false
	}
	p := b.buf[b.used:][:padded]
	clear(p[:lead])
	*view[direntHeader](p[lead:]) = direntHeader{Ino: d.Ino, Off: d.Off, Namelen: uint32(len(d.Name)), Type: d.Type}
	copy(p[lead+direntHeaderSize:], d.Name)
	clear(p[size:])
	b.used += padded
	return true
}
