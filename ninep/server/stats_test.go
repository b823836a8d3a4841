package server_test

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// requests are the statistics of one type; zero if none came.
func requests(s server.Stats, of ninep.MsgType) server.RequestStats {
	if i := slices.IndexFunc(s.Requests, func(r server.RequestStats) bool { return r.Type == of }); i >= 0 {
		return s.Requests[i]
	}
	return server.RequestStats{Type: of}
}

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestStats(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "0123456789", 0o666)
	c := e.client(0)
	fid := c.open(ninep.OpenReadWrite, "f")
	c.call(&ninep.Tread{Fid: fid, Count: 100})
	c.call(&ninep.Twrite{Fid: fid, Data: []byte("abc")})
	c.call(&ninep.Tread{Fid: 77, Count: 100})
	s := e.server.Stats()
	if got := requests(s, ninep.TypeTread); got.Latency.Count() != 2 || got.Errors != 1 {
		t.Errorf("Tread: %+v", got)
	}
	if s.Sent != 10 || s.Received != 3 || s.Connections != 1 || s.Accepted != 1 || s.Descriptors == 0 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	c.nc.Close()
	eventually(t, "the connection's end to be counted", func() bool {
		s := e.server.Stats()
		return s.Connections == 0 && s.Descriptors == 0 && s.InFlight == 0
	})
}

// A request of no known type counts as that, whatever its number: who connects cannot make up types.
func TestStatsOfUnknownRequests(t *testing.T) {
	e := newExport(t, server.Options{})
	c := e.client(0)
	for _, kind := range []byte{2, 44, 201, 255} {
		if _, err := c.nc.Write([]byte{7, 0, 0, 0, kind, 9, 0}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.nc.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
	}
	if got := requests(e.server.Stats(), 0); got.Errors != 4 {
		t.Errorf("%+v", e.server.Stats().Requests)
	}
}

func TestStatsOfRefusedPeers(t *testing.T) {
	e := newExport(t, server.Options{MaxConns: 1})
	c := e.client(0)
	second, err := net.Dial("unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if n, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatal("a connection too many was let in", n)
	}
	if got := e.server.Stats(); got.Refused != (server.Refused{Limit: 1}) || got.Accepted != 1 {
		t.Errorf("%+v", got)
	}
	c.nc.Close()
}
