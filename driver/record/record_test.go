package record_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/google/uuid"
)

func sample() *record.Record {
	return &record.Record{
		Version:       record.Version,
		UUID:          uuid.MustParse("3b1d1991-497f-5ec5-99e8-ea0e4a8373f3"),
		Name:          "pvc-1",
		State:         record.Ready,
		CapacityBytes: 5 << 30,
		Parameters:    map[string]string{"share": "tank", "onDelete": "archive"},
		Directory:     []string{"web", "data"},
		QID:           &record.QID{Type: 0x80, Path: 1<<64 - 1},
		Created:       time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC),
	}
}

func TestRecordReadBack(t *testing.T) {
	want := sample()
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := record.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRecordTooLong(t *testing.T) {
	r := sample()
	r.Name = strings.Repeat("x", record.MaxSize)
	if _, err := r.Encode(); err == nil {
		t.Error("encoded more than a reader accepts")
	}
}

// Whoever can write to the share can write a record: none of these may be
// believed, above all no directory outside the share or in the driver's own.
func TestRecordHostile(t *testing.T) {
	for name, change := range map[string]func(*record.Record){
		"other version":     func(r *record.Record) { r.Version = 2 },
		"no uuid":           func(r *record.Record) { r.UUID = uuid.Nil },
		"no name":           func(r *record.Record) { r.Name = "" },
		"another's name":    func(r *record.Record) { r.Name = "pvc-2" },
		"unknown state":     func(r *record.Record) { r.State = "done" },
		"negative size":     func(r *record.Record) { r.CapacityBytes = -1 },
		"ready, no qid":     func(r *record.Record) { r.QID = nil },
		"qid of a file":     func(r *record.Record) { r.QID.Type = 0 },
		"no directory":      func(r *record.Record) { r.Directory = nil },
		"empty component":   func(r *record.Record) { r.Directory = []string{"a", ""} },
		"dot":               func(r *record.Record) { r.Directory = []string{"."} },
		"dot dot":           func(r *record.Record) { r.Directory = []string{"a", ".."} },
		"slash":             func(r *record.Record) { r.Directory = []string{"a/b"} },
		"NUL":               func(r *record.Record) { r.Directory = []string{"a\x00"} },
		"driver's own":      func(r *record.Record) { r.Directory = []string{".csi-9p", "volumes"} },
		"driver's own, too": func(r *record.Record) { r.Directory = []string{".csi-9p2"} },
		"unknown parameter": func(r *record.Record) { r.Parameters["x"] = "y" },
		"bad parameter":     func(r *record.Record) { r.Parameters["onDelete"] = "y" },
	} {
		r := sample()
		change(r)
		data, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := record.Decode(data); !errors.Is(err, record.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

func TestRecordNotJSON(t *testing.T) {
	good, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"empty":         "",
		"null":          "null",
		"cut short":     string(good[:len(good)/2]),
		"twice":         string(good) + string(good),
		"unknown field": strings.Replace(string(good), `"name"`, `"path": "/etc", "name"`, 1),
		"too long":      string(good) + strings.Repeat(" ", record.MaxSize),
	} {
		if _, err := record.Decode([]byte(data)); !errors.Is(err, record.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

func TestCloneIsDeep(t *testing.T) {
	r, want := sample(), sample()
	c := r.Clone()
	c.Parameters["share"], c.Directory[0], c.QID.Path = "x", "x", 1
	if !reflect.DeepEqual(r, want) {
		t.Errorf("the original became %+v", r)
	}
}

func FuzzDecode(f *testing.F) {
	good, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(strings.Replace(string(good), `"web"`, `".."`, 1)))
	f.Add([]byte(`{"version": 1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := record.Decode(data)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			return // longer than what it was read from: escapes and spaces
		}
		if _, err := record.Decode(again); err != nil {
			t.Fatalf("%s\nwas read, and written as\n%s\nwhich is %v", data, again, err)
		}
	})
}

func FuzzDecodeClaim(f *testing.F) {
	id := sample().UUID.String()
	f.Add([]byte(`{"uuid": "` + id + `", "aside": "` + id + `.x", "qid": {"type": 128, "path": "1"}}`))
	f.Add([]byte(`{"uuid": "` + id + `", "aside": "../x", "qid": {"type": 128, "path": "1"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := record.DecodeClaim(data)
		if err == nil && (strings.Contains(c.Aside, "/") || !strings.HasPrefix(c.Aside, c.UUID.String()+".")) {
			t.Fatalf("%+v got through", c)
		}
	})
}

func TestDecodeClaimHostile(t *testing.T) {
	id := sample().UUID.String()
	good := `{"uuid": "` + id + `", "aside": "` + id + `.x", "qid": {"type": 128, "path": "1"}}`
	if c, err := record.DecodeClaim([]byte(good + "\n")); err != nil || c.UUID != sample().UUID || c.QID.Path != 1 {
		t.Fatalf("got %+v, %v", c, err)
	}
	for name, data := range map[string]string{
		"empty":         "",
		"twice":         good + good,
		"unknown field": strings.Replace(good, `"aside"`, `"x": 1, "aside"`, 1),
		"no name":       strings.Replace(good, id+".x", "", 1),
		"other name":    strings.Replace(good, id+".x", "precious", 1),
		"slash":         strings.Replace(good, id+".x", id+"./../../precious", 1),
		"a file":        strings.Replace(good, "128", "0", 1),
		"a bare uuid":   id + "\n",
	} {
		if c, err := record.DecodeClaim([]byte(data)); !errors.Is(err, record.ErrCorrupt) {
			t.Errorf("%s: got %+v, %v, want ErrCorrupt", name, c, err)
		}
	}
}

func FuzzDecodeShare(f *testing.F) {
	id := sample().UUID.String()
	f.Add([]byte(`{"version": 1, "uuid": "` + id + `"}`))
	f.Add([]byte(`{"version": 1, "uuid": "` + uuid.Nil.String() + `"}`))
	f.Add([]byte(`{"version": 1, "uuid": "../x", "x": 1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		id, err := record.DecodeShare(data)
		if (err == nil) != (id != uuid.Nil) || err != nil && !errors.Is(err, record.ErrCorrupt) {
			t.Fatalf("%s is read as %s, %v", data, id, err)
		}
	})
}
