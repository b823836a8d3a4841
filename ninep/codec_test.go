package ninep_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
)

// frame returns the whole message of 9P2000.L, head and payload.
func frame(t testing.TB, tag uint16, m ninep.Message) []byte {
	t.Helper()
	return frameIn(t, ninep.DialectL, tag, m)
}

func frameIn(t testing.TB, d ninep.Dialect, tag uint16, m ninep.Message) []byte {
	t.Helper()
	b, err := d.Append(nil, tag, m)
	if err != nil {
		t.Fatalf("Append(%v): %v", m.Type(), err)
	}
	return append(b, ninep.Payload(m)...)
}

// golden has messages beside the bytes that the protocol's document gives them.
var golden = []struct {
	m   ninep.Message
	hex string
}{
	{&ninep.Tversion{Msize: 8192, Version: "9P2000.L"}, "15000000 64 0100 00200000 0800 3950323030302e4c"},
	{&ninep.Rlerror{Errno: 2}, "0b000000 07 0100 02000000"},
	{&ninep.Tattach{Fid: 1, Afid: ninep.NoFID, Uname: "u", Aname: "/a", UID: 1000}, "1a000000 68 0100 01000000 ffffffff 0100 75 0200 2f61 e8030000"},
	{&ninep.Twalk{Fid: 1, NewFid: 2, Names: []string{"a", "bc"}}, "18000000 6e 0100 01000000 02000000 0200 0100 61 0200 6263"},
	{&ninep.Rwalk{QIDs: []ninep.QID{{Type: ninep.QTDir, Version: 3, Path: 4}}}, "16000000 6f 0100 0100 80 03000000 0400000000000000"},
	{&ninep.Tread{Fid: 1, Offset: 0x100000000, Count: 5}, "17000000 74 0100 01000000 0000000001000000 05000000"},
	{&ninep.Rread{Data: []byte("hi")}, "0d000000 75 0100 02000000 6869"},
	{&ninep.Twrite{Fid: 1, Offset: 2, Data: []byte("abc")}, "1a000000 76 0100 01000000 0200000000000000 03000000 616263"},
	{&ninep.Tclunk{Fid: 9}, "0b000000 78 0100 09000000"},
	{&ninep.Tflush{OldTag: 7}, "09000000 6c 0100 0700"},
	{&ninep.Tfsync{Fid: 1, DataOnly: 1}, "0f000000 32 0100 01000000 01000000"},
	{&ninep.Tlink{Dir: 1, Fid: 2, Name: "n"}, "12000000 46 0100 01000000 02000000 0100 6e"},
	{&ninep.Tunlinkat{Dir: 1, Name: "n", Flags: ninep.UnlinkDir}, "12000000 4c 0100 01000000 0100 6e 00020000"},
	{&ninep.Tlock{Fid: 1, Kind: ninep.WriteLock, Flags: 1, Start: 2, Length: 3, ProcID: 4, ClientID: "c"},
		"27000000 34 0100 01000000 01 01000000 0200000000000000 0300000000000000 04000000 0100 63"},
}

func TestMessagesHaveTheBytesOfTheProtocol(t *testing.T) {
	for _, g := range golden {
		want, err := hex.DecodeString(strings.ReplaceAll(g.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := frame(t, 1, g.m); !bytes.Equal(got, want) {
			t.Errorf("%v: got %x, want %x", g.m.Type(), got, want)
		}
		tag, m, err := ninep.Decode(want)
		if err != nil || tag != 1 || !reflect.DeepEqual(m, g.m) {
			t.Errorf("Decode(%v) = %d, %+v, %v", g.m.Type(), tag, m, err)
		}
	}
}

// filled returns a message of the type with a distinct value in every field that the dialect has.
func filled(d ninep.Dialect, typ ninep.MsgType) ninep.Message {
	m := d.NewMessage(typ)
	if m == nil {
		return nil
	}
	n := uint64(1)
	fill(reflect.ValueOf(m).Elem(), &n)
	switch m := m.(type) {
	case *ninep.Tattach:
		m.UID = numberIn(d, m.UID)
	case *ninep.Tauth:
		m.UID = numberIn(d, m.UID)
	case *ninep.Tcreate:
		m.Extension = extensionIn(d, m.Extension)
	case *ninep.Rstat:
		m.Stat = statIn(d, m.Stat)
	case *ninep.Twstat:
		m.Stat = statIn(d, m.Stat)
	case *ninep.Rerror:
		if d == ninep.DialectL {
			m.Ename = ""
		}
		if d == ninep.DialectLegacy {
			m.Errno = 0
		}
	}
	return m
}

// statIn is what of a Stat the dialect carries.
func statIn(d ninep.Dialect, s ninep.Stat) ninep.Stat {
	s.Extension = extensionIn(d, s.Extension)
	s.NUID, s.NGID, s.NMUID = numberIn(d, s.NUID), numberIn(d, s.NGID), numberIn(d, s.NMUID)
	return s
}

func numberIn(d ninep.Dialect, n uint32) uint32 {
	if d == ninep.DialectLegacy {
		return ninep.NoUID
	}
	return n
}

func extensionIn(d ninep.Dialect, s string) string {
	if d != ninep.DialectU {
		return ""
	}
	return s
}

func fill(v reflect.Value, n *uint64) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.String:
		v.SetString(strings.Repeat("x", int(*n)))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			fill(v.Index(i), n)
		}
	default:
		v.SetUint(*n)
	}
}

func TestEveryMessageSurvivesTheRoundTrip(t *testing.T) {
	for d, messages := range map[ninep.Dialect]int{ninep.DialectL: 58, ninep.DialectU: 27, ninep.DialectLegacy: 27} {
		seen := 0
		for typ := range 256 {
			if m := filled(d, ninep.MsgType(typ)); m != nil {
				seen++
				surviveRoundTrip(t, d, ninep.MsgType(typ), m)
			}
		}
		if seen != messages {
			t.Errorf("%d messages, %v and its errors have %d", seen, d, messages)
		}
	}
}

func surviveRoundTrip(t *testing.T, d ninep.Dialect, typ ninep.MsgType, m ninep.Message) {
	t.Helper()
	if m.Type() != typ {
		t.Errorf("NewMessage(%d).Type() = %d", typ, m.Type())
	}
	b := frameIn(t, d, 77, m)
	tag, got, err := d.Decode(b)
	if err != nil || tag != 77 || !reflect.DeepEqual(got, m) {
		t.Errorf("%v %v: got %+v (tag %d, %v), want %+v", d, m.Type(), got, tag, err, m)
	}
	for cut := ninep.HeaderSize; cut < len(b); cut++ {
		if m.Type() == ninep.TypeTfsync && cut == len(b)-4 {
			continue // the short form of old clients
		}
		if err := d.DecodeBody(b[ninep.HeaderSize:cut], d.NewMessage(m.Type())); !errors.Is(err, ninep.ErrMalformed) {
			t.Errorf("%v %v cut to %d of %d bytes: %v", d, m.Type(), cut, len(b), err)
		}
	}
}

func TestAppendReservesThePayloadButLeavesItOut(t *testing.T) {
	data := make([]byte, 1000)
	b, err := ninep.Append(nil, 1, &ninep.Twrite{Data: data})
	if err != nil || len(b) != ninep.WriteHeadSize {
		t.Fatalf("head of %d bytes, %v", len(b), err)
	}
	h, err := ninep.ParseHeader(b)
	if err != nil || h.Size != uint32(ninep.WriteHeadSize+len(data)) {
		t.Errorf("size %d, %v", h.Size, err)
	}
}

func TestAppendRefusesWhatTheLengthFieldsCannotTell(t *testing.T) {
	prefix := []byte("kept")
	b, err := ninep.Append(prefix, 1, &ninep.Treadlink{})
	if err != nil || !bytes.HasPrefix(b, prefix) {
		t.Fatalf("%q, %v", b, err)
	}
	b, err = ninep.Append(prefix, 1, &ninep.Tmkdir{Name: strings.Repeat("n", 1<<16)})
	if !errors.Is(err, ninep.ErrTooLong) || string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := ninep.Append(nil, 1, &ninep.Twalk{Names: make([]string, 17)}); err == nil {
		t.Error("a walk of 17 names was encoded")
	}
}

func TestDecodeRefusesHostileFrames(t *testing.T) {
	for name, h := range map[string]string{
		"empty":              "",
		"short header":       "0700000064",
		"size below header":  "06000000640100",
		"size beyond frame":  "08000000640100",
		"unknown type":       "070000006a0100",
		"trailing byte":      "0c000000780100 01000000 00",
		"string beyond body": "0f0000006401000020000009ff",
		"17 names":           "110000006e0100010000000200000011 00",
		"count beyond frame": "0c000000750100ffffffff00",
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(h, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ninep.Decode(b); !errors.Is(err, ninep.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOldClientsLeaveDataOnlyOut(t *testing.T) {
	_, m, err := ninep.Decode([]byte{11, 0, 0, 0, 50, 1, 0, 5, 0, 0, 0})
	if err != nil || m.(*ninep.Tfsync).Fid != 5 || m.(*ninep.Tfsync).DataOnly != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestDirents(t *testing.T) {
	want := []ninep.Dirent{
		{QID: ninep.QID{Type: ninep.QTDir, Path: 1}, Offset: 5, Type: 4, Name: "a"},
		{QID: ninep.QID{Path: 2}, Offset: 1 << 63, Type: 8, Name: strings.Repeat("b", 255)},
		{QID: ninep.QID{Path: 3}, Offset: 7, Type: 8, Name: "\xff\n"},
	}
	var data []byte
	size := 0
	for _, d := range want {
		var err error
		if data, err = ninep.AppendDirent(data, d); err != nil {
			t.Fatal(err)
		}
		size += ninep.DirentSize(d.Name)
	}
	if len(data) != size {
		t.Errorf("%d bytes, DirentSize says %d", len(data), size)
	}
	for _, w := range want {
		d, rest, err := ninep.NextDirent(data)
		if err != nil || d != w {
			t.Fatalf("%+v, %v", d, err)
		}
		data = rest
	}
	if _, _, err := ninep.NextDirent([]byte{1, 2, 3}); !errors.Is(err, ninep.ErrMalformed) {
		t.Errorf("a cut entry: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, d := range everyDialect {
		for typ := range 256 {
			if m := filled(d, ninep.MsgType(typ)); m != nil {
				f.Add(byte(d), frameIn(f, d, 1, m))
			}
		}
	}
	f.Fuzz(func(t *testing.T, dialect byte, b []byte) {
		d := everyDialect[int(dialect)%len(everyDialect)]
		tag, m, err := d.Decode(b)
		if err != nil {
			return
		}
		again := frameIn(t, d, tag, m)
		if fsync, ok := m.(*ninep.Tfsync); ok && fsync.DataOnly == 0 {
			return // two encodings mean the same
		}
		if _, ok := m.(*ninep.Rstat); ok && bytes.Equal(b[7:9], []byte{0, 0}) {
			return // as here
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%v %v: %x came back as %x", d, m.Type(), b, again)
		}
	})
}

func FuzzNextDirent(f *testing.F) {
	seed, _ := ninep.AppendDirent(nil, ninep.Dirent{Name: "name"})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		for len(data) > 0 {
			_, rest, err := ninep.NextDirent(data)
			if err != nil {
				return
			}
			if len(rest) >= len(data) {
				t.Fatal("no progress")
			}
			data = rest
		}
	})
}

func BenchmarkAppendTread(b *testing.B) {
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = ninep.Append(buf[:0], 1, &ninep.Tread{Fid: 1, Offset: 4096, Count: 1 << 20})
	}
}
