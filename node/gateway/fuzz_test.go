package gateway_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/gateway"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// conversation is the messages on the wire, with tags from 0 on.
func conversation(messages ...ninep.Message) (out []byte) {
	for tag, m := range messages {
		b, err := ninep.Append(nil, uint16(tag), m)
		if err != nil {
			panic(err)
		}
		out = append(append(out, b...), ninep.Payload(m)...)
	}
	return out
}

var conversations = [][]byte{
	conversation(
		&ninep.Twalk{Fid: 0, NewFid: 1, Names: []string{"d"}}, &ninep.Tgetattr{Fid: 1}, &ninep.Tlopen{Fid: 1},
		&ninep.Treaddir{Fid: 1, Count: 1 << 31}, &ninep.Tclunk{Fid: 1}, &ninep.Tclunk{Fid: 1}, &ninep.Tclunk{Fid: 0}),
	conversation(
		&ninep.Twalk{Fid: 0, NewFid: 1}, &ninep.Tlcreate{Fid: 1, Name: "f", Flags: 2, Mode: 0o644, GID: ninep.NoUID},
		&ninep.Twrite{Fid: 1, Offset: 1, Data: []byte("data")}, &ninep.Tread{Fid: 1, Count: 100}, &ninep.Tlock{Fid: 1, Kind: 1, ClientID: "c"},
		&ninep.Tflush{OldTag: 4}, &ninep.Tflush{OldTag: 5}, &ninep.Tflush{OldTag: 6}, &ninep.Tremove{Fid: 1}, &ninep.Tremove{Fid: 1}),
	conversation(
		&ninep.Tmkdir{Fid: 0, Name: "m", Mode: 0o755}, &ninep.Tlink{Dir: 0, Fid: 0, Name: "l"}, &ninep.Trename{Fid: 0, Dir: 0, Name: "r"},
		&ninep.Trenameat{OldDir: 0, OldName: "m", NewDir: 0, NewName: "n"}, &ninep.Tunlinkat{Dir: 0, Name: "n", Flags: unix.AT_REMOVEDIR},
		&ninep.Twalk{Fid: 0, NewFid: 0, Names: []string{"..", "none"}}, &ninep.Txattrwalk{Fid: 0, NewFid: 2}, &ninep.Txattrwalk{Fid: 2, NewFid: 2}),
	conversation(
		&ninep.Tattach{Fid: 0, Afid: ninep.NoFID}, &ninep.Tattach{Fid: 3, Afid: ninep.NoFID, Aname: "/none"}, &ninep.Tauth{Afid: 1},
		&ninep.Tattach{Fid: ninep.NoFID, Afid: 1}, &ninep.Tversion{Msize: 8192, Version: ninep.Version}, &ninep.Tgetattr{Fid: 0}),
}

// FuzzServe feeds the gateway what a hostile client might send. Serve ends with the client, nothing is left of it, and the
// session lives on.
func FuzzServe(f *testing.F) {
	for _, seed := range conversations {
		f.Add(seed)
	}
	e := nodetest.Export(f)
	u, err := dial.Parse(e.URL)
	if err != nil {
		f.Fatal(err)
	}
	session, err := ninep.Open(f.Context(), ninep.Config{
		Dial:             func(ctx context.Context) (transport.Conn, error) { return dial.Dial(ctx, u, dial.Options{}) },
		ReconnectTimeout: -1,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = session.Close() })
	f.Fuzz(func(t *testing.T, input []byte) {
		var lent atomic.Int64
		open := func(_ context.Context, name string) (*gateway.Share, error) {
			lent.Add(1)
			return &gateway.Share{Session: session, Aname: name, Flow: transport.NewFlow(1 << 20), Release: func() { lent.Add(-1) }}, nil
		}
		ours, theirs := net.Pipe()
		served := make(chan struct{})
		go func() { defer close(served); _ = gateway.Serve(t.Context(), theirs, open) }() // why it ended is the client's doing
		drained := make(chan struct{})
		go func() { defer close(drained); _, _ = io.Copy(io.Discard, ours) }()
		hello := conversation(&ninep.Tversion{Msize: 64 << 10, Version: ninep.Version}, &ninep.Tattach{Fid: 0, Afid: ninep.NoFID})
		_ = ours.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = ours.Write(append(hello, input...)) // the gateway may end the connection at any byte
		_ = ours.Close()
		<-drained
		select {
		case <-served:
		case <-time.After(20 * time.Second):
			t.Fatal("the connection does not end")
		}
		if n := lent.Load(); n != 0 {
			t.Errorf("%d shares were not given back", n)
		}
		nodetest.Eventually(t, "all fids are given back", func() bool { return session.Stats().Fids == 0 })
		if status := session.Status(); !status.Connected || status.Reconnects > 0 {
			t.Fatalf("the session: %+v", status)
		}
	})
}
