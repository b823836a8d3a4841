package mtls_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
)

// pair makes a connection whose handshake is done.
func pair(tb testing.TB) (client, server *mtls.Conn) {
	tb.Helper()
	ca := mtlstest.NewCA(tb, "ours")
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := mtls.NewListener(plain, mtlstest.Source(tb, ca.Server(host)))
	defer l.Close()
	accepted := make(chan *mtls.Conn, 1)
	go func() {
		defer close(accepted)
		c, err := l.Accept()
		if err != nil {
			tb.Error(err)
			return
		}
		if err := c.(*mtls.Conn).HandshakeContext(context.Background()); err != nil {
			tb.Error(err)
		}
		accepted <- c.(*mtls.Conn)
	}()
	nc, err := net.Dial("tcp", plain.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	if client, err = mtls.Client(context.Background(), nc, host, mtlstest.Source(tb, ca.Client("node-1"))); err != nil {
		tb.Fatal(err)
	}
	server = <-accepted
	tb.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestPeer(t *testing.T) {
	client, server := pair(t)
	if got, want := server.Peer(), `"CN=node-1" issued by "CN=ours"`; got != want {
		t.Errorf("the server sees %s, want %s", got, want)
	}
	if got, want := client.Peer(), `"CN=server" issued by "CN=ours"`; got != want {
		t.Errorf("the client sees %s, want %s", got, want)
	}
}

// What is written in pieces comes out in order, in no more records than needed.
func TestWriteBuffers(t *testing.T) {
	for _, sizes := range [][]int{
		{11}, {80, 4096}, {23, 16361}, {80, 1 << 20}, {80, 16 << 10, 11}, {11, 11, 11, 4096, 11, 100_000, 11}, {0, 5, 0}, {32 << 10}, {},
	} {
		client, server := pair(t)
		var parts [][]byte
		var want []byte
		for _, n := range sizes {
			part := make([]byte, n)
			for j := range part {
				part[j] = byte(rand.Uint32())
			}
			parts, want = append(parts, part), append(want, part...)
		}
		sent := make(chan error, 1)
		go func() {
			n, err := client.WriteBuffers(parts)
			if err == nil && n != int64(len(want)) {
				t.Errorf("%v: %d bytes taken of %d", sizes, n, len(want))
			}
			client.Close()
			sent <- err
		}()
		var got []byte
		records := 0
		for buf := make([]byte, 16<<10); ; records++ {
			n, err := server.Read(buf) // of one record
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v: other bytes came than were sent", sizes)
		}
		if least := (len(want) + 16<<10 - 1) >> 14; records > least {
			t.Errorf("%v: %d records, %d would do", sizes, records, least)
		}
	}
}

// A peer that takes nothing does not keep an end from closing.
func TestCloseWaitsForNobody(t *testing.T) {
	client, server := pair(t)
	// Fill what lies between the ends.
	if err := client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := client.NetConn().Write(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	closed := make(chan struct{})
	go func() { client.CloseWrite(); client.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(3 * time.Second): // crypto/tls by itself takes five
		t.Error("Close waits for a peer that reads nothing")
		server.Close()
		<-closed
	}
}

// one is a listener of one connection.
type one struct {
	net.Listener
	conn net.Conn
}

func (l one) Accept() (net.Conn, error) { return halves{l.conn}, nil }

// halves is a pipe that can be closed one way, as far as its user can tell.
type halves struct{ net.Conn }

func (halves) CloseWrite() error { return nil }

// A client that was refused and does not go is waited for until the context
// ends, at most.
func TestRefusedClientThatStays(t *testing.T) {
	source := mtlstest.Source(t, mtlstest.NewCA(t, "ours").Server(host))
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() { _, _ = far.Write([]byte("no TLS")) }()
		const patience = 100 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := mtls.NewListener(one{conn: near}, source).Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		start := time.Now()
		says(t, "the server", c.(*mtls.Conn).HandshakeContext(ctx), "tls:// URL")
		if took := time.Since(start); took != patience {
			t.Errorf("it took %v, want %v", took, patience)
		}
	})
}
