package gateway

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestFidsAt: every fid of every request is found, where the codec puts it.
func TestFidsAt(t *testing.T) {
	for kind := range 256 {
		m := ninep.NewMessage(ninep.MsgType(kind))
		if m == nil || kind&1 == 1 || kind == int(ninep.TypeTflush) || kind == int(ninep.TypeTversion) || kind == int(ninep.TypeTauth) {
			continue
		}
		var want []ninep.FID
		for i, fields := 0, reflect.ValueOf(m).Elem(); i < fields.NumField(); i++ {
			switch v := fields.Field(i).Addr().Interface().(type) {
			case *ninep.FID:
				*v = ninep.FID(0x11111111 * (i + 1))
				if fields.Type().Field(i).Name != "Afid" {
					want = append(want, *v)
				}
			case *string:
				*v = "name"
			case *[]string:
				*v = []string{"a", "bc"}
			}
		}
		message, err := ninep.Append(nil, 0, m)
		if err != nil {
			t.Fatal(err)
		}
		var got []ninep.FID
		for _, at := range fidsAt(m) {
			got = append(got, ninep.FID(binary.LittleEndian.Uint32(message[ninep.HeaderSize+at:])))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: fids %x, want %x", m.Type(), got, want)
		}
	}
}
