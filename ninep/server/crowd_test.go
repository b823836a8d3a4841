package server_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// TestCrowd has clients of all dialects do what they like to the same few names. Every request is answered, nothing is touched
// outside, and no descriptor is left, which the fixtures look for.
func TestCrowd(t *testing.T) {
	e, canary := newFenced(t, server.Options{})
	e.mkdir("d", 0o777)
	if err := os.Symlink(canary, e.path("d/out")); err != nil {
		t.Fatal(err)
	}
	var crowd sync.WaitGroup
	for i := range 6 {
		d := ninep.Dialect(i % 3)
		c := e.speaker(d, strconv.Itoa(os.Getuid()))
		r := rand.New(rand.NewPCG(uint64(i), 1))
		crowd.Go(func() {
			for range 1500 {
				c.call(anyRequest(r, d))
			}
		})
	}
	crowd.Wait()
}

// anyRequest is a request of the dialect about one of ten fids and a few names.
func anyRequest(r *rand.Rand, d ninep.Dialect) ninep.Message {
	fid, other := ninep.FID(r.IntN(10)), ninep.FID(1+r.IntN(9))
	name := []string{"a", "b", "d", "out", "..", "f"}[r.IntN(6)]
	shared := []ninep.Message{
		&ninep.Twalk{Fid: fid, NewFid: other}, &ninep.Twalk{Fid: fid, NewFid: other, Names: []string{"d", name}},
		&ninep.Twalk{Fid: fid, NewFid: other, Names: []string{name}}, &ninep.Tclunk{Fid: other}, &ninep.Tremove{Fid: other},
		&ninep.Tread{Fid: fid, Count: 500}, &ninep.Twrite{Fid: fid, Data: []byte(name)},
	}
	own := []ninep.Message{
		&ninep.Tlopen{Fid: other, Flags: uint32(r.IntN(3))}, &ninep.Tlcreate{Fid: other, Name: name, Flags: 2, Mode: 0o644},
		&ninep.Tgetattr{Fid: fid}, &ninep.Treaddir{Fid: fid, Count: 500}, &ninep.Tmkdir{Fid: fid, Name: name, Mode: 0o755},
		&ninep.Trenameat{OldDir: fid, OldName: "a", NewDir: other, NewName: name}, &ninep.Tunlinkat{Dir: fid, Name: name},
	}
	if d != ninep.DialectL {
		mode := []uint8{0, ninep.ClassicRDWR, ninep.ClassicRDWR | ninep.ClassicRClose, ninep.ClassicWrite | ninep.ClassicTrunc}[r.IntN(4)]
		perm := []ninep.StatMode{0o644, ninep.DMDir | 0o755, ninep.DMSymlink, ninep.DMLink, ninep.DMNamedPipe | 0o600}[r.IntN(5)]
		own = []ninep.Message{
			&ninep.Topen{Fid: other, Mode: mode}, &ninep.Tstat{Fid: fid},
			&ninep.Tcreate{Fid: other, Name: name, Perm: perm, Mode: mode, Extension: fmt.Sprint(uint32(fid))},
			wstat(fid, func(s *ninep.Stat) { s.Name, s.Mtime = name, 5 }),
			wstat(other, func(s *ninep.Stat) { s.Name, s.Length = name, 1<<63 }), wstat(other, func(s *ninep.Stat) { s.Length = 3 }),
		}
	}
	if all := len(shared) + len(own); r.IntN(all) < len(own) {
		return own[r.IntN(len(own))]
	}
	return shared[r.IntN(len(shared))]
}
