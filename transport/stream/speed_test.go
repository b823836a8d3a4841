package stream_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// nullServer answers Tread with as many zeros as asked and all else with an
// empty reply, and allocates nothing per message.
func nullServer(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 64<<10)
	var head [11]byte
	reply := make([]byte, 11+4<<20)
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		if _, err := in.Discard(int(binary.LittleEndian.Uint32(head[:])) - len(head)); err != nil {
			return
		}
		n := 0
		if head[4] == tread {
			n = int(binary.LittleEndian.Uint32(head[7:]))
		}
		binary.LittleEndian.PutUint32(reply, uint32(11+n))
		reply[4], reply[5], reply[6] = head[4]+1, head[5], head[6]
		binary.LittleEndian.PutUint32(reply[7:], uint32(n))
		if _, err := conn.Write(reply[:11+n]); err != nil {
			return
		}
	}
}

// signal tells of completed calls without allocating.
type signal chan struct{}

func (s signal) Complete(*transport.Call) { s <- struct{}{} }

func TestACallAllocatesNothing(t *testing.T) {
	c, p := connect(t, unixPair, stream.Options{})
	go nullServer(p.conn)
	s := make(signal, 1)
	flow := transport.NewFlow(1 << 20)
	sink := make([]byte, 1<<20)
	for name, call := range map[string]*transport.Call{
		"read of 4 KiB":   readCall(s, 1, 4<<10),
		"read of 1 MiB":   readCall(s, 1, 1<<20),
		"write of 64 KiB": writeCall(s, 2, make([]byte, 64<<10)),
		"write of 1 MiB":  writeCall(s, 2, make([]byte, 1<<20)),
		"clunk":           clunkCall(s, 3),
		"spliced read":    pipedCall(s, 1, 512<<10),
	} {
		call.Flow = flow
		once := func() {
			c.Submit(call)
			<-s
			if call.Pipe != nil {
				read, _ := call.Pipe.Ends()
				for left := len(call.Prefix) + call.N; left > 0; {
					n, err := unix.Read(read, sink)
					if err != nil {
						t.Fatal(err)
					}
					left -= n
				}
				call.Pipe.Release(true)
			}
		}
		if n := testing.AllocsPerRun(200, once); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if call.Err != nil || call.N != len(call.In) || (call.Pipe != nil) != (call.Prefix != nil) {
			t.Errorf("%s: N %d, error %v", name, call.N, call.Err)
		}
	}
}

// Of TLS the same holds for all but what crypto/tls itself allocates: a few
// words a record that it reads.
func TestACallOverTLSAllocatesNothingOfOurs(t *testing.T) {
	for _, kind := range []struct {
		name string
		call *transport.Call
		in   int // bytes of the reply
	}{
		{"read of 1 MiB", readCall(nil, 1, 1<<20), 11 + 1<<20},
		{"write of 1 MiB", writeCall(nil, 2, make([]byte, 1<<20)), 11},
		{"clunk", clunkCall(nil, 3), 11},
	} {
		client, server := tlsPair(t)
		go nullServer(server)
		out, in := make([]byte, len(kind.call.Head)+len(kind.call.Out)), make([]byte, kind.in)
		copy(out, kind.call.Head)
		bare := testing.AllocsPerRun(50, func() {
			if _, err := client.Write(out); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, in); err != nil {
				t.Fatal(err)
			}
		})
		client.Close()

		c, p := connect(t, tlsPair, stream.Options{})
		go nullServer(p.conn)
		s := make(signal, 1)
		kind.call.Done = s
		got := testing.AllocsPerRun(50, func() { c.Submit(kind.call); <-s })
		t.Logf("%s: %v allocations, crypto/tls alone %v", kind.name, got, bare)
		if got > bare+bare/8+poolLoss {
			t.Errorf("%s: %v allocations, crypto/tls alone has %v", kind.name, got, bare)
		}
	}
}

// measured are the wires that carry something outside of tests.
var measured = []struct {
	name string
	pair func(testing.TB) (client, server net.Conn)
}{{"unix", unixPair}, {"tcp", tcpPair}, {"tls", tlsPair}}

func BenchmarkRead(b *testing.B) {
	for _, w := range measured {
		for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 1 << 20} {
			for _, depth := range []int{1, 16} {
				b.Run(fmt.Sprintf("%s/%dKiB/depth=%d", w.name, size>>10, depth), func(b *testing.B) {
					c, p := connect(b, w.pair, stream.Options{})
					go nullServer(p.conn)
					keep(b, c, depth, size, func(tag uint16) *transport.Call { return readCall(nil, tag, size) })
					total := c.Stats()
					b.ReportMetric(float64(total.PayloadCopied)/float64(b.N*size), "copied/B")
				})
			}
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, w := range measured {
		for _, size := range []int{4 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB/depth=16", w.name, size>>10), func(b *testing.B) {
				c, p := connect(b, w.pair, stream.Options{})
				go nullServer(p.conn)
				out := make([]byte, size)
				keep(b, c, 16, size, func(tag uint16) *transport.Call { return writeCall(nil, tag, out) })
			})
		}
	}
}

// keep has depth calls in flight until b.N have been made.
func keep(b *testing.B, c *stream.Conn, depth, size int, call func(tag uint16) *transport.Call) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	free := make(chan *transport.Call, depth)
	for tag := range depth {
		made := call(uint16(tag))
		made.Done = completer(func(c *transport.Call) { free <- c })
		free <- made
	}
	b.ResetTimer()
	for range b.N {
		c.Submit(<-free)
	}
	for range depth {
		<-free
	}
}
