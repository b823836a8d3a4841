package params_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
)

const server = "tcp://10.0.0.5"

// with returns parameters that name a server, and others.
func with(pairs ...string) map[string]string {
	values := map[string]string{"server": server}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return values
}

func TestParseDefaults(t *testing.T) {
	p, err := params.Parse(with())
	if err != nil {
		t.Fatal(err)
	}
	want := params.Defaults()
	want.Server = server
	if p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
}

func TestParseValues(t *testing.T) {
	for _, test := range []struct {
		key, value string
		same       func(params.Parameters) bool
	}{
		{"SUBDIR", "a/${pvc.metadata.name}", func(p params.Parameters) bool { return p.SubDir == "a/${pvc.metadata.name}" }},
		{"onDelete", "Archive", func(p params.Parameters) bool { return p.OnDelete == params.Archive }},
		{"uid", "1000", func(p params.Parameters) bool { return p.UID == 1000 }},
		{"gid", "4294967294", func(p params.Parameters) bool { return p.GID == 1<<32-2 }},
		{"mode", "0770", func(p params.Parameters) bool { return p.Mode == 0o770 }},
		{"mode", "0o2775", func(p params.Parameters) bool { return p.Mode == 0o2775 }},
		{"dialect", "9p2000.U", func(p params.Parameters) bool { return p.Dialect == params.DialectU }},
		{"dialect", "AUTO", func(p params.Parameters) bool { return p.Dialect == params.DialectAuto }},
		{"msize", "auto", func(p params.Parameters) bool { return p.Msize == 0 }},
		{"msize", "64Ki", func(p params.Parameters) bool { return p.Msize == 64<<10 }},
		{"zeroCopy", "require", func(p params.Parameters) bool { return p.ZeroCopy == params.ZeroCopyRequire }},
		{"zeroCopy", "Off", func(p params.Parameters) bool { return p.ZeroCopy == params.ZeroCopyOff }},
		{"zeroCopyThreshold", "4Ki", func(p params.Parameters) bool { return p.ZeroCopyThreshold == 4096 }},
		{"maxInFlight", "1Gi", func(p params.Parameters) bool { return p.MaxInFlight == 1<<30 }},
		{"readAhead", "0", func(p params.Parameters) bool { return p.ReadAhead == 0 }},
		{"cache", "close-to-open", func(p params.Parameters) bool { return p.Cache == params.CacheCloseToOpen }},
		{"cache", "Loose", func(p params.Parameters) bool { return p.Cache == params.CacheLoose }},
		{"attrTimeout", "250ms", func(p params.Parameters) bool { return p.AttrTimeout == 250*time.Millisecond }},
		{"access", "user", func(p params.Parameters) bool { return p.Access == params.AccessUser }},
		{"attachUid", "1000", func(p params.Parameters) bool { return p.AttachUID == 1000 }},
		{"reconnectTimeout", "0", func(p params.Parameters) bool { return p.ReconnectTimeout == 0 }},
		{"writebackTimeout", "1m", func(p params.Parameters) bool { return p.WritebackTimeout == time.Minute }},
		{"capacity", "none", func(p params.Parameters) bool { return p.Capacity == params.CapacityNone }},
		{"aname", "/tank", func(p params.Parameters) bool { return p.Aname == "/tank" }},
		{"controllerServer", "tcp://10.1.0.5", func(p params.Parameters) bool { return p.ControllerServer == "tcp://10.1.0.5" }},
	} {
		p, err := params.Parse(with(test.key, test.value))
		if err != nil {
			t.Errorf("%s=%s: %v", test.key, test.value, err)
			continue
		}
		if !test.same(p) {
			t.Errorf("%s=%s: got %+v", test.key, test.value, p)
		}
		again, err := params.Parse(p.Values())
		if err != nil || again != p {
			t.Errorf("%s=%s: %v read back as %+v, %v", test.key, test.value, p.Values(), again, err)
		}
	}
}

// Whoever reads an error has to learn which parameter it is about, what was
// given and what would be right.
func TestParseRefuses(t *testing.T) {
	for _, test := range []struct {
		values map[string]string
		tells  []string
	}{
		{map[string]string{}, []string{"server", "share"}},
		{with("share", "tank"), []string{"server", "share"}},
		{with("subDri", "x"), []string{"subDri", "did you mean subDir?"}},
		{with("reconectTimeout", "x"), []string{"did you mean reconnectTimeout?"}},
		{with("vers", "x"), []string{"vers", "there are share, server, aname"}},
		{with("uid", "1", "UID", "2"), []string{"uid", "UID", "twice"}},
		{with("uid", "root"), []string{"uid", `"root"`, "numeric"}},
		{with("uid", "4294967295"), []string{"uid"}},
		{with("mode", "rwx"), []string{"mode", `"rwx"`, "octal"}},
		{with("mode", "17777"), []string{"mode", "07777"}},
		{with("msize", "big"), []string{"msize", "1Mi", "auto"}},
		{with("msize", "1"), []string{"msize", "4096"}},
		{with("maxInFlight", "1.5"), []string{"maxInFlight"}},
		{with("attrTimeout", "5"), []string{"attrTimeout", "30s"}},
		{with("reconnectTimeout", "-1s"), []string{"reconnectTimeout", "for ever"}},
		{with("onDelete", "keep"), []string{"onDelete", "delete, retain, archive"}},
		{with("dialect", "9P3000"), []string{"dialect", "must be one of"}},
		{with("zeroCopy", "on"), []string{"zeroCopy", "auto, off, require"}},
		{with("zeroCopyThreshold", "much"), []string{"zeroCopyThreshold", "quantity"}},
		{with("cache", "writeback"), []string{"cache", "close-to-open, loose"}},
		{with("capacity", "enforce"), []string{"capacity", "later release"}},
		{map[string]string{"server": "virtio://tag", "aname": "/x"}, []string{"aname", "subDir"}},
		{map[string]string{"server": "gopher://h"}, []string{"server", "gopher"}},
		{with("controllerServer", "virtio://h"), []string{"controllerServer", "device of a node"}},
		{with("tlsServerName", "nas.example"), []string{"tlsServerName", "tls://"}},
		{map[string]string{"server": "tls://h", "tlsServerName": "a:b"}, []string{"tlsServerName", "host name"}},
		{map[string]string{"server": "tls://h?serverName=x", "TLSServerName": "y"}, []string{"TLSServerName", "\"x\"", "keep one"}},
		{map[string]string{"share": "tank", "tlsServerName": "nas"}, []string{"tlsServerName", "share"}},
		{map[string]string{"server": server + "/a", "Aname": "/b"}, []string{"Aname", "/a"}},
		{map[string]string{"share": "tank", "aname": "/b"}, []string{"aname", "share"}},
		{map[string]string{"share": "-tank"}, []string{"share", "letters"}},
		{with("aname", ""), []string{"aname"}},
		{with("aname", "tank"), []string{"aname", "begin with '/'"}},
		{with("subDir", "a/../b"), []string{"subDir", ".."}},
		{with("subDir", ".csi-9p/x"), []string{"subDir", ".csi-9p"}},
		{with("subDir", "${pvc.name}"), []string{"subDir", "${pvc.name}", "${pvc.metadata.name}"}},
	} {
		_, err := params.Parse(test.values)
		if !errors.Is(err, params.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", test.values, err)
			continue
		}
		for _, word := range test.tells {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%v: %q does not tell %q", test.values, err, word)
			}
		}
	}
}

func TestAnameOfURL(t *testing.T) {
	p, err := params.Parse(map[string]string{"server": server + "/tank"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Server != server || p.Aname != "/tank" {
		t.Errorf("got server %q, aname %q", p.Server, p.Aname)
	}
}

func TestNameOfTheCertificate(t *testing.T) {
	for _, values := range []map[string]string{
		{"server": "tls://10.0.0.5/tank", "tlsServerName": "NAS.example"},
		{"server": "tls://10.0.0.5/tank?serverName=nas.example"},
	} {
		p, err := params.Parse(values)
		if err != nil {
			t.Fatal(err)
		}
		if p.Server != "tls://10.0.0.5" || p.Aname != "/tank" || p.TLSServerName != "nas.example" {
			t.Errorf("%v: got server %q, aname %q, name %q", values, p.Server, p.Aname, p.TLSServerName)
		}
	}
	if _, err := params.Parse(with("controllerServer", "tls://nas", "tlsServerName", "nas.example")); err != nil {
		t.Errorf("for the controller's road alone: %v", err)
	}
}

func TestKeysOfKubernetes(t *testing.T) {
	values := with("csi.storage.k8s.io/pvc/name", "data", "csi.storage.k8s.io/pvc/namespace", "web",
		"csi.storage.k8s.io/pv/name", "pvc-1", "csi.storage.k8s.io/pod.name", "web-0",
		"csi.storage.k8s.io/ephemeral", "true", "storage.kubernetes.io/csiProvisionerIdentity", "x")
	if _, err := params.Parse(values); err != nil {
		t.Fatal(err)
	}
	names := params.ParseMetadata(values)
	if names.PV != "pvc-1" || names.PVC != "data" || names.PVCNamespace != "web" {
		t.Errorf("got %+v", names)
	}
	if !params.Ephemeral(values) || params.Ephemeral(with()) {
		t.Error("ephemeral is not told")
	}
}

func TestMergeOptions(t *testing.T) {
	values := with("cache", "none")
	merged, flags, err := params.Merge(values, []string{"ro", "msize=64Ki", "noatime", "CACHE=none"})
	if err != nil {
		t.Fatal(err)
	}
	want := with("cache", "none", "msize", "64Ki")
	if !maps.Equal(merged, want) {
		t.Errorf("got %v, want %v", merged, want)
	}
	if strings.Join(flags, ",") != "ro,noatime" {
		t.Errorf("got flags %q", flags)
	}
}

func TestMergeRefuses(t *testing.T) {
	for option, tells := range map[string]string{
		"cache=close-to-open": "contradicts",
		"nolock":              "nolock",
		"vers=4.1":            "is not known",
		"cahe=none":           "did you mean cache?",
		"loop":                "loop",
	} {
		_, _, err := params.Merge(with("cache", "none"), []string{option})
		if !errors.Is(err, params.ErrInvalid) || !strings.Contains(err.Error(), tells) {
			t.Errorf("%s: got %v", option, err)
		}
	}
	if _, _, err := params.SplitOptions([]string{"uid=1", "uid=2"}); !errors.Is(err, params.ErrInvalid) {
		t.Errorf("twice: got %v", err)
	}
}

// Same text in another notation is no contradiction.
func TestMergeSameMeaning(t *testing.T) {
	if _, _, err := params.Merge(with("readAhead", "1048576"), []string{"readahead=1Mi"}); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range [][2]string{{"msize", "1Mi"}, {"mode", "0777"}, {"subDir", "${pv.metadata.name}"}, {"server", "unix:///s?aname=/x"},
		{"reconnectTimeout", "5m"}, {"uid", "-1"}, {"aname", "/a b#c"}, {"controllerServer", "vsock://2:564/x"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		p, err := params.Parse(with(key, value))
		if err != nil {
			if !errors.Is(err, params.ErrInvalid) {
				t.Fatalf("%v does not wrap ErrInvalid", err)
			}
			return
		}
		again, err := params.Parse(p.Values())
		if err != nil || again != p {
			t.Fatalf("%+v was written as %v and read as %+v, %v", p, p.Values(), again, err)
		}
	})
}
