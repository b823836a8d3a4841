package ninefs_test

import (
	"bytes"
	"encoding/binary"
)

// rawDirent is an entry and how many bytes it takes (struct linux_dirent64 of getdents(2)).
type rawDirent struct {
	entry
	length int
}

func direntAt(b []byte) rawDirent {
	length := int(binary.NativeEndian.Uint16(b[16:]))
	name, _, _ := bytes.Cut(b[19:length], []byte{0})
	return rawDirent{
		entry: entry{
			ino:  binary.NativeEndian.Uint64(b),
			off:  int64(binary.NativeEndian.Uint64(b[8:])),
			typ:  b[18],
			name: string(name),
		},
		length: length,
	}
}
