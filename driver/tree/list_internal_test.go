package tree

import (
	"errors"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
)

// A server may send any name; none that leads elsewhere gets through.
func TestDecodeHostileNames(t *testing.T) {
	for _, name := range []string{"", "a/b", "../x", "/", "x\x00y", strings.Repeat("x", 256)} {
		data, err := ninep.AppendDirent(nil, ninep.Dirent{Name: name, Offset: 1})
		if err != nil {
			t.Fatal(err)
		}
		if entries, _, err := decode(data); !errors.Is(err, ninep.ErrMalformed) {
			t.Errorf("%.20q: got %v, %v, want ErrMalformed", name, entries, err)
		}
	}
}

func TestDecode(t *testing.T) {
	var data []byte
	for i, name := range []string{".", "..", "a", "...", ".a"} {
		data, _ = ninep.AppendDirent(data, ninep.Dirent{Name: name, Offset: uint64(i) + 10})
	}
	entries, next, err := decode(data)
	if err != nil || len(entries) != 3 || next != 14 {
		t.Errorf("got %v, %d, %v", entries, next, err)
	}
}

func FuzzDecode(f *testing.F) {
	seed, _ := ninep.AppendDirent(nil, ninep.Dirent{Name: "a/b", Offset: 1})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _, err := decode(data)
		if err != nil {
			return
		}
		for _, entry := range entries {
			if strings.ContainsAny(entry.Name, "/\x00") || entry.Name == ".." || entry.Name == "" {
				t.Fatalf("%q got through", entry.Name)
			}
		}
	})
}
