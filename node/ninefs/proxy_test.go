package ninefs_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/test/lab"
)

// between puts somebody between the clients of a share and its server, who carries what they say to each other until both
// connections have ended.
func between(t testing.TB, s share, carry func(client, server net.Conn)) share {
	t.Helper()
	socket := filepath.Join(lab.Dir(t), "b")
	l, err := net.Listen("unix", socket)
	check(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", s.url[len("unix://"):])
			if err != nil {
				_ = client.Close()
				continue
			}
			running.Go(func() { carry(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return share{url: "unix://" + socket, root: s.root}
}

// answers stands between a client and its server and sees each reply before the client does.
func answers(t testing.TB, s share, see func(frame []byte)) share {
	t.Helper()
	return between(t, s, func(client, server net.Conn) {
		var asking sync.WaitGroup
		asking.Go(func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		})
		frames(t, server, func(frame []byte) error {
			see(frame)
			_, err := client.Write(frame)
			return err
		})
		_ = client.Close()
		asking.Wait()
	})
}

// poorQIDs makes of our exporter's good qids those of other servers: the inode number of whatever device, and a version that never
// changes. Nor do its files have a data_version.
func poorQIDs(t testing.TB, s share) share { return answers(t, s, spoilReply) }

// frames hands out the messages that come from a client or a server until the connection ends.
func frames(t testing.TB, from io.Reader, carry func(frame []byte) error) {
	t.Helper()
	next := func() error {
		var size [4]byte
		if _, err := io.ReadFull(from, size[:]); err != nil {
			return err
		}
		frame := make([]byte, binary.LittleEndian.Uint32(size[:]))
		copy(frame, size[:])
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return err
		}
		return carry(frame)
	}
	var err error
	for err == nil {
		err = next()
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("proxy: %v", err)
	}
}

// overtaken stands between a client and its server, which gets the client's first Twrite after the Tsetattr that follows it, and
// answers them in the client's order. done is set then.
func overtaken(t testing.TB, s share, done *atomic.Bool) share {
	t.Helper()
	return between(t, s, func(client, server net.Conn) {
		held := make(chan []byte, 1)
		var asking sync.WaitGroup
		asking.Go(func() {
			first := true
			frames(t, client, func(frame []byte) error {
				if first && ninep.MsgType(frame[4]) == ninep.TypeTwrite {
					first = false
					held <- frame
					return nil
				}
				_, err := server.Write(frame)
				return err
			})
			_ = server.Close()
		})
		var early []byte
		frames(t, server, func(frame []byte) error {
			switch ninep.MsgType(frame[4]) {
			case ninep.TypeRsetattr:
				select {
				case write := <-held:
					early = frame
					done.Store(true)
					_, err := server.Write(write)
					return err
				default:
				}
			case ninep.TypeRwrite:
				frame, early = append(frame, early...), nil
			}
			_, err := client.Write(frame)
			return err
		})
		_ = client.Close()
		asking.Wait()
	})
}

// spoilReply spoils the qids of one reply (the layouts are those of the 9P2000.L document).
func spoilReply(frame []byte) {
	body := frame[ninep.HeaderSize:]
	switch ninep.MsgType(frame[4]) {
	case ninep.TypeRattach, ninep.TypeRlopen, ninep.TypeRlcreate, ninep.TypeRmkdir, ninep.TypeRsymlink, ninep.TypeRmknod:
		spoil(body)
	case ninep.TypeRgetattr:
		valid := binary.LittleEndian.Uint64(body)
		binary.LittleEndian.PutUint64(body, valid&^uint64(ninep.AttrDataVersion))
		spoil(body[8:])
	case ninep.TypeRwalk:
		for q := body[2:]; len(q) >= 13; q = q[13:] {
			spoil(q)
		}
	case ninep.TypeRreaddir:
		for e := body[4:]; len(e) > 24; e = e[24+int(binary.LittleEndian.Uint16(e[22:])):] {
			spoil(e)
		}
	}
}

// spoil clears a qid's version, and the bits of its path that tell the device.
func spoil(qid []byte) {
	clear(qid[1:5])
	clear(qid[11:13])
}
