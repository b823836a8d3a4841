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

var everyDialect = []ninep.Dialect{ninep.DialectL, ninep.DialectU, ninep.DialectLegacy}

func TestDialectNames(t *testing.T) {
	for version, want := range map[string]ninep.Dialect{
		"9P2000.L": ninep.DialectL, "9P2000.u": ninep.DialectU, "9P2000": ninep.DialectLegacy,
	} {
		d, ok := ninep.ParseDialect(version)
		if !ok || d != want || d.String() != version {
			t.Errorf("%q is %v, %v", version, d, ok)
		}
	}
	for _, version := range []string{"", "unknown", "9P2000.l", "9P2000.U", "9P2000.L.Z", "9p2000"} {
		if d, ok := ninep.ParseDialect(version); ok {
			t.Errorf("%q is %v", version, d)
		}
	}
}

// stat1 is the description of a file, with every field its own.
var stat1 = ninep.Stat{
	Kind: 1, Dev: 2, QID: ninep.QID{Type: ninep.QTFile, Version: 3, Path: 4}, Mode: 0o644, Atime: 5, Mtime: 6, Length: 7,
	Name: "n", UID: "u", GID: "g", MUID: "m", Extension: "e", NUID: 8, NGID: 9, NMUID: 10,
}

// stat1Hex is its form in 9P2000, without the size.
const stat1Hex = "0100 02000000 00 03000000 0400000000000000 a4010000 05000000 06000000 0700000000000000 0100 6e 0100 75 0100 67 0100 6d"

// TestClassicMessagesHaveTheBytesOfTheManual: intro(5), stat(5), error(5) and what 9P2000.u adds to them.
func TestClassicMessagesHaveTheBytesOfTheManual(t *testing.T) {
	const u, old = ninep.DialectU, ninep.DialectLegacy
	for _, g := range []struct {
		d   ninep.Dialect
		m   ninep.Message
		hex string
	}{
		{old, &ninep.Rerror{Ename: "no"}, "0b000000 6b 0100 0200 6e6f"},
		{u, &ninep.Rerror{Ename: "no", Errno: 2}, "0f000000 6b 0100 0200 6e6f 02000000"},
		{ninep.DialectL, &ninep.Rerror{Errno: 2}, "0b000000 6b 0100 02000000"},
		{old, &ninep.Tattach{Fid: 1, Afid: ninep.NoFID, Uname: "u", Aname: "/a", UID: ninep.NoUID}, "16000000 68 0100 01000000 ffffffff 0100 75 0200 2f61"},
		{u, &ninep.Tattach{Fid: 1, Afid: ninep.NoFID, Uname: "u", Aname: "/a", UID: 1000}, "1a000000 68 0100 01000000 ffffffff 0100 75 0200 2f61 e8030000"},
		{old, &ninep.Tauth{Afid: 1, Uname: "u", Aname: "a", UID: ninep.NoUID}, "11000000 66 0100 01000000 0100 75 0100 61"},
		{old, &ninep.Topen{Fid: 1, Mode: ninep.ClassicRDWR | ninep.ClassicTrunc}, "0c000000 70 0100 01000000 12"},
		{old, &ninep.Ropen{QID: ninep.QID{Type: ninep.QTDir, Version: 3, Path: 4}, IOUnit: 5}, "18000000 71 0100 80 03000000 0400000000000000 05000000"},
		{old, &ninep.Tcreate{Fid: 1, Name: "d", Perm: ninep.DMDir | 0o755}, "13000000 72 0100 01000000 0100 64 ed010080 00"},
		{u, &ninep.Tcreate{Fid: 1, Name: "d", Perm: ninep.DMSymlink, Extension: "to"}, "17000000 72 0100 01000000 0100 64 00000002 00 0200 746f"},
		{old, &ninep.Tstat{Fid: 1}, "0b000000 7c 0100 01000000"},
		{old, &ninep.Rstat{Stat: statIn(old, stat1)}, "3e000000 7d 0100 3500 3300 " + stat1Hex},
		{u, &ninep.Rstat{Stat: stat1}, "4d000000 7d 0100 4400 4200 " + stat1Hex + "0100 65 08000000 09000000 0a000000"},
		{old, &ninep.Twstat{Fid: 1, Stat: statIn(old, stat1)}, "42000000 7e 0100 01000000 3500 3300 " + stat1Hex},
		{old, &ninep.Rwstat{}, "07000000 7f 0100"},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(g.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := frameIn(t, g.d, 1, g.m); !bytes.Equal(got, want) {
			t.Errorf("%v %v: got %x, want %x", g.d, g.m.Type(), got, want)
		}
		_, m, err := g.d.Decode(want)
		if err != nil || !reflect.DeepEqual(m, g.m) {
			t.Errorf("%v: Decode(%v) = %+v, %v", g.d, g.m.Type(), m, err)
		}
	}
}

// TestDialectsKeepApart: a message of one dialect is unknown to the others.
func TestDialectsKeepApart(t *testing.T) {
	for _, c := range []struct {
		m  ninep.Message
		in []ninep.Dialect
	}{
		{&ninep.Tlopen{}, everyDialect[:1]},
		{&ninep.Rlerror{}, everyDialect[:1]},
		{&ninep.Topen{}, everyDialect[1:]},
		{&ninep.Twstat{}, everyDialect[1:]},
		{&ninep.Tread{}, everyDialect},
	} {
		for _, d := range everyDialect {
			_, _, err := d.Decode(frameIn(t, d, 1, c.m))
			known := false
			for _, in := range c.in {
				known = known || in == d
			}
			if known != (err == nil) || !known && !errors.Is(err, ninep.ErrUnknownType) {
				t.Errorf("%v in %v: %v", c.m.Type(), d, err)
			}
		}
	}
}

// TestUntouchedStat: stat(5) says what leaves a field alone.
func TestUntouchedStat(t *testing.T) {
	b, err := ninep.DialectU.AppendStat(nil, ninep.UntouchedStat())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("ff", 2+4+13+4+4+4+8) + strings.Repeat("00", 5*2) + strings.Repeat("ff", 3*4)
	if got := hex.EncodeToString(b[2:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDirectoriesAreStats(t *testing.T) {
	for _, d := range everyDialect[1:] {
		first, second := statIn(d, stat1), statIn(d, stat1)
		second.Name = strings.Repeat("b", 255)
		var data []byte
		for _, s := range []ninep.Stat{first, second} {
			var err error
			if data, err = d.AppendStat(data, s); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []ninep.Stat{first, second} {
			s, rest, err := d.NextStat(data)
			if err != nil || s != want {
				t.Fatalf("%v: %+v, %v", d, s, err)
			}
			data = rest
		}
		if len(data) != 0 {
			t.Errorf("%v: %d bytes left", d, len(data))
		}
	}
}

// TestHostileStats: the counts around a stat must agree with one another and with what is inside.
func TestHostileStats(t *testing.T) {
	const d = ninep.DialectLegacy
	good := frameIn(t, d, 1, &ninep.Rstat{Stat: stat1})
	for name, spoil := range map[string]func([]byte){
		"the outer count is smaller": func(b []byte) { b[7]-- },
		"the outer count is larger":  func(b []byte) { b[7]++ },
		"the inner count is smaller": func(b []byte) { b[9]-- },
		"the inner count is larger":  func(b []byte) { b[9]++ },
		"a name beyond its stat":     func(b []byte) { b[50] = 0xff },
	} {
		b := bytes.Clone(good)
		spoil(b)
		if _, _, err := d.Decode(b); !errors.Is(err, ninep.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := stat1
	long.Name, long.UID = strings.Repeat("n", 40000), strings.Repeat("u", 40000)
	if _, err := d.AppendStat(nil, long); !errors.Is(err, ninep.ErrTooLong) {
		t.Errorf("a stat of 80,000 bytes: %v", err)
	}
	if _, err := d.Append(nil, 1, &ninep.Twstat{Stat: long}); !errors.Is(err, ninep.ErrTooLong) {
		t.Errorf("Twstat of 80,000 bytes: %v", err)
	}
}

// TestStatOfQEMU: QEMU counts no bytes of the stat in its Rstat.
func TestStatOfQEMU(t *testing.T) {
	b := frameIn(t, ninep.DialectU, 1, &ninep.Rstat{Stat: stat1})
	b[7], b[8] = 0, 0
	_, m, err := ninep.DialectU.Decode(b)
	if r, ok := m.(*ninep.Rstat); err != nil || !ok || r.Stat != stat1 {
		t.Errorf("%+v, %v, want %+v", m, err, stat1)
	}
}

func FuzzNextStat(f *testing.F) {
	for _, d := range everyDialect[1:] {
		seed, _ := d.AppendStat(nil, stat1)
		f.Add(byte(d), seed)
	}
	f.Fuzz(func(t *testing.T, dialect byte, data []byte) {
		d := everyDialect[int(dialect)%len(everyDialect)]
		for len(data) > 0 {
			s, rest, err := d.NextStat(data)
			if err != nil {
				return
			}
			again, err := d.AppendStat(nil, s)
			if err != nil || !bytes.Equal(again, data[:len(data)-len(rest)]) {
				t.Fatalf("%x came back as %x, %v", data, again, err)
			}
			data = rest
		}
	})
}
