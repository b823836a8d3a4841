package fuse

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// decodeDirents reads what the kernel reads (fs/fuse/readdir.c, parse_dirfile and parse_dirplusfile).
func decodeDirents(t *testing.T, b []byte, lead int) []Dirent {
	t.Helper()
	var out []Dirent
	for len(b) >= lead+direntHeaderSize {
		h := b[lead:]
		n := int(binary.NativeEndian.Uint32(h[16:]))
		out = append(out, Dirent{
			Ino:  binary.NativeEndian.Uint64(h),
			Off:  binary.NativeEndian.Uint64(h[8:]),
			Type: binary.NativeEndian.Uint32(h[20:]),
			Name: string(h[direntHeaderSize:][:n]),
		})
		b = b[(lead+direntHeaderSize+n+7)&^7:]
	}
	if len(b) != 0 {
		t.Errorf("%d bytes left over", len(b))
	}
	return out
}

func TestDirentBuilder(t *testing.T) {
	for _, plus := range []bool{false, true} {
		t.Run(fmt.Sprintf("plus=%v", plus), func(t *testing.T) {
			buf := bytesOf(make([]uint64, 512))
			for i := range buf {
				buf[i] = 0xff
			}
			b := NewDirentBuilder(buf)
			lead := 0
			var want []Dirent
			for n := 1; ; n++ {
				d := Dirent{Ino: uint64(n), Off: uint64(n + 100), Type: unix.DT_REG, Name: strings.Repeat("n", n%255+1)}
				var ok bool
				if plus {
					lead = entrySize
					e := b.AddPlus(d)
					if ok = e != nil; ok {
						if *e != (EntryOut{}) {
							t.Fatal("an entry does not come zeroed")
						}
						e.NodeID = uint64(n)
					}
				} else {
					ok = b.Add(d)
				}
				if !ok {
					if room := len(buf) - len(b.Bytes()); room >= lead+direntHeaderSize+len(d.Name)+7 {
						t.Errorf("refused with %d bytes left", room)
					}
					break
				}
				want = append(want, d)
			}
			got := decodeDirents(t, b.Bytes(), lead)
			if len(got) != len(want) {
				t.Fatalf("%d entries, want %d", len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("entry %d: %+v, want %+v", i, got[i], want[i])
				}
			}
		})
	}
}

func TestDirentBuilderWithoutRoom(t *testing.T) {
	for size := range 32 {
		b := NewDirentBuilder(bytesOf(make([]uint64, 4))[:size])
		if b.Add(Dirent{Name: "12345678"}) || b.AddPlus(Dirent{Name: "1"}) != nil || len(b.Bytes()) != 0 {
			t.Fatalf("something fits into %d bytes", size)
		}
	}
}
