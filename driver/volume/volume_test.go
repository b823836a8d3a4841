package volume_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/google/uuid"
)

var id = uuid.MustParse("0b5d5d6c-6f3a-5a53-9f5b-111111111111")

func TestID(t *testing.T) {
	for want, v := range map[string]volume.ID{
		"share/tank/" + id.String():                          {Share: "tank", UUID: id},
		"share/tank/" + id.String() + "@1000":                {Share: "tank", UUID: id, AttachUID: 1000},
		"tcp://10.0.0.5:5640/x#" + id.String():               {URL: "tcp://10.0.0.5:5640/x", UUID: id},
		"unix:///run/9p.sock?aname=/x#" + id.String() + "@7": {URL: "unix:///run/9p.sock?aname=/x", UUID: id, AttachUID: 7},
	} {
		if got := v.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, err := volume.ParseID(want); err != nil || got != v {
			t.Errorf("%s: got %+v, %v", want, got, err)
		}
	}
}

func TestIDNotOurs(t *testing.T) {
	for _, s := range []string{
		"", "pv-data", "share/tank", "share/tank/x", "share//" + id.String(), "share/a/b/" + id.String(),
		"share/tank/" + id.String() + "@0", "share/tank/" + id.String() + "@01", "share/tank/" + id.String() + "@-1",
		"share/tank/" + strings.ToUpper(id.String()), "share/tank/{" + id.String() + "}",
		"tcp://h:564#x", "tls://h:564#" + id.String(), "10.0.0.5#/share#" + id.String(), "#" + id.String(),
		"TCP://h#" + id.String(), "tcp://h:564#" + id.String(),
		"unix:///" + strings.Repeat("a", 128) + "#" + id.String(),
	} {
		if got, err := volume.ParseID(s); !errors.Is(err, volume.ErrNotOurs) {
			t.Errorf("%q: got %+v, %v, want ErrNotOurs", s, got, err)
		}
	}
}

func TestIDTooLong(t *testing.T) {
	err := volume.ID{URL: "unix:///" + strings.Repeat("a", 100), UUID: id}.Check()
	if !errors.Is(err, volume.ErrTooLong) || !strings.Contains(err.Error(), "share") {
		t.Errorf("got %v, want ErrTooLong that proposes share", err)
	}
}

// A retry, by whichever controller of whichever release, must mean the same
// volume: the UUID of a name never changes.
func TestUUIDIsStable(t *testing.T) {
	if got := volume.UUID("pvc-1").String(); got != "3b1d1991-497f-5ec5-99e8-ea0e4a8373f3" {
		t.Errorf("got %s", got)
	}
}

func TestContext(t *testing.T) {
	p := params.Defaults()
	p.Server, p.Aname, p.Cache, p.OnDelete, p.UID = "tcp://10.0.0.5", "/tank", params.CacheNone, params.Retain, 1000
	p.ControllerServer, p.SubDir = "tcp://10.1.0.5", "x/${pv.metadata.name}"
	c := volume.Context{Parameters: p, Directory: []string{"x", "pvc-1"}, Provisioned: true, QIDPath: 1 << 63, CapacityBytes: 5 << 30}
	values := c.Values()
	want := map[string]string{"server": "tcp://10.0.0.5", "aname": "/tank", "cache": "none", "subDir": "x/pvc-1",
		"csi-9p.dev/qid": "8000000000000000", "csi-9p.dev/capacity": "5368709120"}
	if !maps.Equal(values, want) {
		t.Fatalf("got %v, want %v", values, want)
	}
	values["storage.kubernetes.io/csiProvisionerIdentity"] = "x"
	got, flags, err := volume.ParseContext(values, []string{"noatime", "readAhead=2Mi"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Directory, c.Directory) || !got.Provisioned || got.QIDPath != c.QIDPath || got.CapacityBytes != c.CapacityBytes {
		t.Errorf("got %+v", got)
	}
	if got.Parameters.Aname != "/tank" || got.Parameters.Cache != params.CacheNone || got.Parameters.ReadAhead != 2<<20 {
		t.Errorf("got %+v", got.Parameters)
	}
	if !slices.Equal(flags, []string{"noatime"}) {
		t.Errorf("got flags %q", flags)
	}
}

// A context may have 4 KiB (CSI spec, "Size Limits"); the longest that passes
// every other check has less.
func TestContextFits(t *testing.T) {
	p, err := params.Parse(map[string]string{
		"server": "unix:///" + strings.Repeat("%20", 106), "aname": "/" + strings.Repeat("a", 1023),
		"msize": "268435456", "zeroCopy": "require", "maxInFlight": "1099511627776", "readAhead": "1073741824",
		"cache": "close-to-open", "attrTimeout": "2562047h47m16.854775807s", "access": "user", "attachUid": "4294967294",
		"reconnectTimeout": "2562047h47m16.854775807s", "writebackTimeout": "2562047h47m16.854775807s", "capacity": "none",
	})
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	deep := strings.Split(strings.Repeat(strings.Repeat("d", 255)+"/", 3)+strings.Repeat("d", 255), "/")
	for key, value := range (volume.Context{Parameters: p, Directory: deep, Provisioned: true, QIDPath: 1<<64 - 1, CapacityBytes: 1<<63 - 1}).Values() {
		size += len(key) + len(value)
	}
	if size > 4<<10 {
		t.Errorf("the context has %d bytes", size)
	}
}

func TestStaticContext(t *testing.T) {
	for subDir, want := range map[string][]string{"": nil, "data/x": {"data", "x"}} {
		values := map[string]string{"share": "tank"}
		if subDir != "" {
			values["subDir"] = subDir
		}
		c, _, err := volume.ParseContext(values, nil)
		if err != nil || c.Provisioned || !slices.Equal(c.Directory, want) {
			t.Errorf("subDir %q: got %+v, %v", subDir, c, err)
		}
	}
}

func TestContextRefuses(t *testing.T) {
	for key, value := range map[string]string{
		"subDir":              "${pvc.metadata.name}",
		"csi-9p.dev/qid":      "xyz",
		"csi-9p.dev/capacity": "-1",
		"csi-9p.dev/other":    "1",
		"subdir":              "../x",
	} {
		_, _, err := volume.ParseContext(map[string]string{"share": "tank", key: value}, nil)
		if !errors.Is(err, params.ErrInvalid) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(key)) {
			t.Errorf("%s=%s: got %v", key, value, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"share/tank/" + id.String(), "tcp://h:564/x#" + id.String() + "@1", "unix:///s?aname=/a#b#" + id.String(), "@", "#", "share/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := volume.ParseID(s)
		if err == nil && (v.String() != s || v.Check() != nil) {
			t.Fatalf("%q was read as %+v, which is %q", s, v, v)
		}
	})
}
