package stream_test

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

const prefix = "before it"

// pipedCall is a Tread whose payload is wanted in a pipe.
func pipedCall(d transport.Completer, tag uint16, n int) *transport.Call {
	c := readCall(d, tag, n)
	c.Prefix = []byte(prefix)
	return c
}

// drain returns n bytes of a pipe, and whether they were all.
func drain(t testing.TB, p *transport.Pipe, n int) (b []byte, empty bool) {
	t.Helper()
	read, _ := p.Ends()
	for b = make([]byte, 0, n+1); len(b) <= n; {
		k, err := unix.Read(read, b[len(b):cap(b)])
		if errors.Is(err, unix.EAGAIN) {
			return b, true
		}
		if err != nil {
			t.Fatal(err)
		}
		b = b[:len(b)+k]
	}
	return b, false
}

// TestSplice: a payload that is wanted in a pipe is there, behind its prefix and with nothing behind it, whatever came
// before it on the connection.
func TestSplice(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){"unix": unixPair, "tcp": tcpPair, "file": filePair} {
		t.Run(name, func(t *testing.T) {
			c, p := connect(t, pair, stream.Options{})
			d := newDone()
			total := 0
			for i, n := range []int{64 << 10, 100_000, 900 << 10, 64 << 10} {
				want := pattern(uint64(i), n)
				c.Submit(pipedCall(d, 1, n))
				p.next()
				go p.replyPayload(1, want)
				got := <-d
				if got.Err != nil || got.Pipe == nil || got.N != n {
					t.Fatalf("%d bytes: N %d, pipe %v, error %v", n, got.N, got.Pipe, got.Err)
				}
				b, empty := drain(t, got.Pipe, len(prefix)+n)
				if !empty || string(b[:len(prefix)]) != prefix || !bytes.Equal(b[len(prefix):], want) {
					t.Errorf("%d bytes: something else is in the pipe", n)
				}
				got.Pipe.Release(empty)
				total += n
			}
			if s := c.Stats(); s != (stream.Stats{PayloadSpliced: uint64(total)}) {
				t.Errorf("%+v of %d bytes", s, total)
			}
		})
	}
}

// TestNotSpliced: what is short, small or an error, and what comes over a connection that the kernel cannot splice from,
// is where it would be without a prefix.
func TestNotSpliced(t *testing.T) {
	for name, c := range map[string]struct {
		pair        func(testing.TB) (net.Conn, net.Conn)
		asked, come int
	}{
		"short": {unixPair, 128 << 10, 100 << 10},
		"empty": {unixPair, 128 << 10, 0},
		"small": {unixPair, 4 << 10, 4 << 10},
		"plain": {plainPair, 128 << 10, 128 << 10},
		"tls":   {tlsPair, 128 << 10, 128 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			conn, p := connect(t, c.pair, stream.Options{})
			d := newDone()
			want := pattern(1, c.come)
			conn.Submit(pipedCall(d, 1, c.asked))
			p.next()
			go p.replyPayload(1, want)
			if got := <-d; got.Err != nil || got.Pipe != nil || got.N != c.come || !bytes.Equal(got.In[:c.come], want) {
				t.Errorf("N %d of %d, pipe %v, error %v", got.N, c.come, got.Pipe, got.Err)
			}
			conn.Submit(pipedCall(d, 2, c.asked))
			p.next()
			p.reply(rlerror, 2, 5, 0, 0, 0)
			if got := <-d; got.Err != nil || got.Pipe != nil || got.N != 0 || len(got.Reply) != 11 {
				t.Errorf("an error: reply %v, N %d, pipe %v, error %v", got.Reply, got.N, got.Pipe, got.Err)
			}
		})
	}
}

// TestShortPipe: a payload in more pieces than a pipe holds arrives where it would without a pipe, and so do those after it.
func TestShortPipe(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	const n = 256 << 10
	want := pattern(1, n)
	for range 2 {
		c.Submit(pipedCall(d, 1, n))
		p.next()
		reply := frame{rread, 1, counted(want)}.bytes()
		go func() {
			for len(reply) > 0 {
				k := min(len(reply), 300) // each write is a piece of its own
				p.write(reply[:k])
				reply = reply[k:]
			}
		}()
		if got := <-d; got.Err != nil || got.Pipe != nil || got.N != n || !bytes.Equal(got.In, want) {
			t.Fatalf("N %d, pipe %v, error %v", got.N, got.Pipe, got.Err)
		}
	}
	c.Submit(pipedCall(d, 1, n/2))
	p.next()
	go p.replyPayload(1, want[:n/2])
	got := <-d
	if got.Err != nil || got.Pipe == nil {
		t.Fatalf("a smaller payload: pipe %v, error %v", got.Pipe, got.Err)
	}
	if b, _ := drain(t, got.Pipe, len(prefix)+n/2); !bytes.Equal(b[len(prefix):], want[:n/2]) {
		t.Error("a smaller payload: something else is in the pipe")
	}
	got.Pipe.Release(true)
}

// TestDeathWhileSplicing: a connection that ends within a payload leaves no pipe to its call and none open.
func TestDeathWhileSplicing(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	const n = 256 << 10
	c.Submit(pipedCall(d, 1, n))
	p.next()
	p.write(frame{rread, 1, counted(make([]byte, n))}.bytes()[:n/2])
	p.conn.Close()
	if got := <-d; got.Err == nil || got.Pipe != nil || got.N != 0 {
		t.Errorf("N %d, pipe %v, error %v", got.N, got.Pipe, got.Err)
	}
}

// TestPipeAfterDeath: a pipe can be given back when its connection is gone, and is closed then.
func TestPipeAfterDeath(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	d := newDone()
	c.Submit(pipedCall(d, 1, 64<<10))
	p.next()
	go p.replyPayload(1, pattern(1, 64<<10))
	got := <-d
	c.Close()
	<-c.Lost()
	b, empty := drain(t, got.Pipe, len(prefix)+64<<10)
	if !empty || !bytes.Equal(b[len(prefix):], pattern(1, 64<<10)) {
		t.Error("something else is in the pipe")
	}
	got.Pipe.Release(true)
	if _, err := unix.Read(first(got.Pipe.Ends()), b); !errors.Is(err, unix.EBADF) {
		t.Errorf("the pipe is open: %v", err)
	}
}

func first(a, _ int) int { return a }
