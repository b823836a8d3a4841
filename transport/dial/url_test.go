package dial_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/transport/dial"
)

var goodURLs = []struct {
	in   string
	want dial.URL
	out  string // empty: as it came in
}{
	{"tcp://nas", dial.URL{Scheme: "tcp", Host: "nas", Port: 564}, ""},
	{"tcp://nas:564", dial.URL{Scheme: "tcp", Host: "nas", Port: 564}, "tcp://nas"},
	{"tcp://NAS.Example.org:5640/srv/a", dial.URL{Scheme: "tcp", Host: "nas.example.org", Port: 5640, Aname: "/srv/a"}, "tcp://nas.example.org:5640/srv/a"},
	{"TCP://nas/", dial.URL{Scheme: "tcp", Host: "nas", Port: 564, Aname: "/"}, "tcp://nas/"},
	{"tcp://10.0.0.1:0", dial.URL{Scheme: "tcp", Host: "10.0.0.1"}, ""},
	{"tcp://[::1]", dial.URL{Scheme: "tcp", Host: "::1", Port: 564}, ""},
	{"tcp://[2001:DB8::0:1]:1/x", dial.URL{Scheme: "tcp", Host: "2001:db8::1", Port: 1, Aname: "/x"}, "tcp://[2001:db8::1]:1/x"},
	{"tcp://[fe80::1%25eth0]:1", dial.URL{Scheme: "tcp", Host: "fe80::1%eth0", Port: 1}, ""},
	{"tcp://[fe80::1%eth0]:1", dial.URL{Scheme: "tcp", Host: "fe80::1%eth0", Port: 1}, "tcp://[fe80::1%25eth0]:1"},
	{"tcp://nas/a%20b%3Fc%25%2341", dial.URL{Scheme: "tcp", Host: "nas", Port: 564, Aname: "/a b?c%#41"}, ""},
	{"unix:///run/9p.sock", dial.URL{Scheme: "unix", Path: "/run/9p.sock"}, ""},
	{"unix:///run/9p.sock?aname=/x", dial.URL{Scheme: "unix", Path: "/run/9p.sock", Aname: "/x"}, ""},
	{"unix:///run/9p.sock?aname=/x%26y=z+1", dial.URL{Scheme: "unix", Path: "/run/9p.sock", Aname: "/x&y=z+1"}, ""},
	{"unix:///" + strings.Repeat("p", 106), dial.URL{Scheme: "unix", Path: "/" + strings.Repeat("p", 106)}, ""},
	{"vsock://2", dial.URL{Scheme: "vsock", CID: 2, Port: 564}, ""},
	{"vsock://4294967295:4294967295/srv", dial.URL{Scheme: "vsock", CID: 1<<32 - 1, Port: 1<<32 - 1, Aname: "/srv"}, ""},
	{"tls://nas:9564/a", dial.URL{Scheme: "tls", Host: "nas", Port: 9564, Aname: "/a"}, ""},
	{"tls://10.0.0.5/a?serverName=NAS.example", dial.URL{Scheme: "tls", Host: "10.0.0.5", Port: 564, Aname: "/a", ServerName: "nas.example"}, "tls://10.0.0.5/a?serverName=nas.example"},
	{"tls://nas?serverName=2001:DB8::1", dial.URL{Scheme: "tls", Host: "nas", Port: 564, ServerName: "2001:db8::1"}, "tls://nas?serverName=2001:db8::1"},
	{"virtio://host%20share", dial.URL{Scheme: "virtio", Host: "host share"}, ""},
}

func TestParse(t *testing.T) {
	for _, test := range goodURLs {
		got, err := dial.Parse(test.in)
		if err != nil || got != test.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", test.in, got, err, test.want)
			continue
		}
		want := test.out
		if want == "" {
			want = test.in
		}
		if got.String() != want {
			t.Errorf("%+v as a string is %q, want %q", got, got.String(), want)
		}
	}
}

// TestThrough: the way through a socket is a URL, from which the server's comes back.
func TestThrough(t *testing.T) {
	for _, test := range goodURLs {
		u := test.want
		got, err := dial.Parse(u.Through("/run/sessions.sock").String())
		if err != nil || got.Scheme != dial.Unix || got.Path != "/run/sessions.sock" {
			t.Errorf("%s through a socket: %+v, %v", u, got, err)
			continue
		}
		if back, err := dial.Parse(got.Aname); err != nil || back != u {
			t.Errorf("%s comes back as %+v, %v", u, back, err)
		}
	}
}

var badURLs = []struct{ in, part, form string }{
	{"", "must begin with tcp://", ""},
	{"nas:564", "must begin with tcp://", ""},
	{"nfs://nas", "must begin with tcp://", ""},
	{"tcp:nas", "must begin with tcp://", ""},
	{"tcp://", "host is missing", "tcp://host[:564][/aname]"},
	{"tcp://:564", "host is missing", "tcp://host[:564][/aname]"},
	{"tcp:///srv", "host is missing", "tcp://host[:564][/aname]"},
	{"tcp://nas:", `port ""`, "tcp://host[:564][/aname]"},
	{"tcp://nas:http", `port "http"`, "tcp://host[:564][/aname]"},
	{"tcp://nas:65536", `port "65536"`, "tcp://host[:564][/aname]"},
	{"tcp://nas:-1", `port "-1"`, "tcp://host[:564][/aname]"},
	{"tcp://::1", "brackets", "tcp://host[:564][/aname]"},
	{"tcp://[::1", "closing bracket", "tcp://host[:564][/aname]"},
	{"tcp://[::1]564", `"564"`, "tcp://host[:564][/aname]"},
	{"tcp://[nas]", `host "[nas]"`, "tcp://host[:564][/aname]"},
	{"tcp://[10.0.0.1]", `host "[10.0.0.1]"`, "tcp://host[:564][/aname]"},
	{"tcp://na s", `host "na s"`, "tcp://host[:564][/aname]"},
	{"tcp://root@nas", "user", "tcp://host[:564][/aname]"},
	{"tcp://nas?aname=/x", `"?aname=/x"`, "tcp://host[:564][/aname]"},
	{"tcp://nas/a#b", "%23", "tcp://host[:564][/aname]"},
	{"tcp://nas/%zz", `path "/%zz"`, "tcp://host[:564][/aname]"},
	{"tcp://nas/%00", "NUL", "tcp://host[:564][/aname]"},
	{"unix://run/9p.sock", `host "run"`, "unix:///path[?aname=/x]"},
	{"unix://", "path of the socket is missing", "unix:///path[?aname=/x]"},
	{"unix:///", "path of the socket is missing", "unix:///path[?aname=/x]"},
	{"unix:///" + strings.Repeat("p", 107), "108 bytes", "unix:///path[?aname=/x]"},
	{"tls://nas?name=x", "only serverName", "tls://host[:564][/aname][?serverName=name]"},
	{"tls://nas?serverName=", `server name ""`, "tls://host[:564][/aname][?serverName=name]"},
	{"tls://nas?serverName=a/b", `server name "a/b"`, "tls://host[:564][/aname][?serverName=name]"},
	{"tls://nas?serverName=[::1]", `server name "[::1]"`, "tls://host[:564][/aname][?serverName=name]"},
	{"unix:///run/s?uname=x", "only aname", "unix:///path[?aname=/x]"},
	{"unix:///run/s?aname=", "only aname", "unix:///path[?aname=/x]"},
	{"unix:///run/s?aname=/x&aname=/y", "only aname", "unix:///path[?aname=/x]"},
	{"vsock://", `context id ""`, "vsock://cid[:564][/aname]"},
	{"vsock://host", `context id "host"`, "vsock://cid[:564][/aname]"},
	{"vsock://4294967296", `context id "4294967296"`, "vsock://cid[:564][/aname]"},
	{"vsock://2:x", `port "x"`, "vsock://cid[:564][/aname]"},
	{"virtio://", "mount tag is missing", "virtio://mount_tag"},
	{"virtio://tag/sub", `"/sub"`, "virtio://mount_tag"},
}

func TestParseNamesThePartThatIsWrong(t *testing.T) {
	for _, test := range badURLs {
		u, err := dial.Parse(test.in)
		if !errors.Is(err, dial.ErrURL) || !strings.Contains(err.Error(), test.part) || !strings.Contains(err.Error(), test.form) {
			t.Errorf("Parse(%q) = %+v, %v; want an error about %q and %q", test.in, u, err, test.part, test.form)
		}
	}
}

// FuzzParse checks that what is accepted is what its string says, and that the
// string is stable.
func FuzzParse(f *testing.F) {
	for _, test := range goodURLs {
		f.Add(test.in)
	}
	for _, test := range badURLs {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := dial.Parse(s)
		if err != nil {
			if !errors.Is(err, dial.ErrURL) {
				t.Errorf("Parse(%q): %v", s, err)
			}
			return
		}
		again, err := dial.Parse(u.String())
		if err != nil || again != u {
			t.Errorf("Parse(%q) = %+v, whose string %q is %+v, %v", s, u, u.String(), again, err)
		}
	})
}
