package params_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/transport/dial"
)

func kernel(pairs ...string) map[string]string {
	return with(append([]string{"engine", "kernel"}, pairs...)...)
}

// What the kernel's client has is taken, its defaults are its own, and all of it survives being written and read.
func TestKernelEngine(t *testing.T) {
	for _, test := range []struct {
		values map[string]string
		same   func(params.Parameters) bool
	}{
		{kernel(), func(p params.Parameters) bool {
			return p.Access == params.AccessUser && p.Capacity == params.CapacityNone
		}},
		{with("Engine", "Kernel"), func(p params.Parameters) bool { return p.Engine == params.EngineKernel }},
		{kernel("access", "single"), func(p params.Parameters) bool { return p.Access == params.AccessSingle }},
		{kernel("access", "user", "attachUid", "7"), func(p params.Parameters) bool { return p.AttachUID == 7 }},
		{kernel("cache", "loose", "readAhead", "4Mi"), func(p params.Parameters) bool { return p.ReadAhead == 4<<20 }},
		{kernel("msize", "512Ki"), func(p params.Parameters) bool { return p.KernelMsize(dial.TCP) == 512<<10+24 }},
		{kernel(), func(p params.Parameters) bool {
			return p.KernelMsize(dial.TCP) == 1<<20 && p.KernelMsize(dial.Virtio) == 512000
		}},
		{kernel("zeroCopy", "off"), func(p params.Parameters) bool { return p.ZeroCopy == params.ZeroCopyOff }},
		{kernel("dialect", "9P2000.u"), func(p params.Parameters) bool { return p.Dialect == params.DialectU }},
		{map[string]string{"share": "tank", "engine": "kernel"}, func(p params.Parameters) bool { return p.Share == "tank" }},
	} {
		p, err := params.Parse(test.values)
		if err != nil || !test.same(p) {
			t.Errorf("%v: got %+v, %v", test.values, p, err)
			continue
		}
		again, err := params.Parse(p.Values())
		if err != nil || again != p {
			t.Errorf("%v: %v read back as %+v, %v", test.values, p.Values(), again, err)
		}
	}
	if p, err := params.Parse(with()); err != nil || maps.Equal(p.Values(), kernel()) || p.Access != params.AccessSingle {
		t.Errorf("without engine: %+v, %v", p, err)
	}
}

// What the kernel's client lacks is refused by the name of its key.
func TestKernelEngineRefuses(t *testing.T) {
	for _, test := range []struct {
		values map[string]string
		tells  []string
	}{
		{kernel("reconnectTimeout", "5m"), []string{"reconnectTimeout", "does not reconnect", "engine: embedded"}},
		{kernel("WriteBackTimeout", "0"), []string{"WriteBackTimeout", "engine: embedded"}},
		{kernel("maxInFlight", "16Mi"), []string{"maxInFlight"}},
		{kernel("zeroCopyThreshold", "1024"), []string{"zeroCopyThreshold", "1024"}},
		{kernel("attrTimeout", "1s"), []string{"attrTimeout"}},
		{kernel("capacity", "report"), []string{"capacity", "share's own"}},
		{kernel("dialect", "auto"), []string{"dialect", "name it"}},
		{kernel("zeroCopy", "require"), []string{"zeroCopy", "copies every payload", "tcp://"}},
		{kernel("msize", "1Mi"), []string{"msize", "1048552"}},
		{map[string]string{"server": "tls://nas", "engine": "kernel"}, []string{"engine", "tls://"}},
		{map[string]string{"server": "vsock://2", "engine": "kernel"}, []string{"engine", "vsock://"}},
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

// What only the server behind a share's name decides is refused when that is known.
func TestCheckEngine(t *testing.T) {
	for _, test := range []struct {
		url   string
		pairs []string
		tells string
	}{
		{"virtio://share0", nil, ""},
		{"virtio://share0", []string{"zeroCopy", "require"}, ""},
		{"unix:///run/9p.sock", []string{"zeroCopy", "off"}, ""},
		{"virtio://share0", []string{"zeroCopy", "off"}, "copies nothing over virtio"},
		{"virtio://share0", []string{"msize", "512Ki"}, "511976"},
		{"tcp://h", []string{"zeroCopy", "require"}, "tcp://"},
		{"tls://h", nil, "tls://"},
	} {
		values := map[string]string{"share": "tank", "engine": "kernel"}
		for i := 0; i < len(test.pairs); i += 2 {
			values[test.pairs[i]] = test.pairs[i+1]
		}
		p, err := params.Parse(values)
		if err != nil {
			t.Fatal(err)
		}
		u, err := dial.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		err = p.CheckEngine(u)
		if (test.tells == "") != (err == nil) || err != nil && (!errors.Is(err, params.ErrInvalid) || !strings.Contains(err.Error(), test.tells)) {
			t.Errorf("%s %v: got %v", test.url, test.pairs, err)
		}
	}
	embedded := params.Defaults()
	if err := embedded.CheckEngine(dial.URL{Scheme: dial.TLS}); err != nil {
		t.Errorf("embedded: %v", err)
	}
}
