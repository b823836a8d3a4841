package ninefs_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/test/lab"
)

// trips stands between a client and a server and counts how often the client has something to say, but for Tclunk alone: what it
// says at once is one round trip.
func trips(t testing.TB, s share) (share, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	return between(t, s, func(client, server net.Conn) {
		var answers sync.WaitGroup
		answers.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
		buf := make([]byte, 1<<20)
		for {
			read, err := client.Read(buf)
			if err != nil {
				break
			}
			if !onlyClunks(buf[:read]) {
				n.Add(1)
			}
			if _, err := server.Write(buf[:read]); err != nil {
				break
			}
		}
		_ = server.Close()
		answers.Wait()
	}), &n
}

func onlyClunks(messages []byte) bool {
	for len(messages) >= ninep.HeaderSize && ninep.MsgType(messages[4]) == ninep.TypeTclunk {
		messages = messages[min(len(messages), int(binary.LittleEndian.Uint32(messages))):]
	}
	return len(messages) == 0
}

// old makes a file whose content is old enough for the kernel to keep.
func old(t testing.TB, path, content string) {
	t.Helper()
	write(t, path, content)
	check(t, os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)))
}

// primed has a mount read a file, so that it expects the next one to be read as well.
func primed(t *testing.T, m *mounted, s share) {
	t.Helper()
	old(t, filepath.Join(s.root, "first"), "first")
	wantFile(t, m.path("first"), "first")
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := nodetest.ReadFile(path)
	check(t, err)
	if got != want {
		t.Errorf("%s holds %.40q (%d bytes), want %.40q (%d bytes)", filepath.Base(path), got, len(got), want, len(want))
	}
}

// TestReadTree: to open, read and close a small file is one round trip to a server that keeps messages in order, with io_uring two, and
// never one more to learn that the file ends where its size says.
func TestReadTree(t *testing.T) {
	const files = 50
	inOrder := int64(1)
	if lab.IOURing(t) != fuse.IOURingOff {
		inOrder = 2 // the data has to land where the kernel takes it from, which is known with the READ
	}
	for name, c := range map[string]struct {
		share func(testing.TB) share
		trips int64 // a file, beside the first ones
	}{
		"in order": {exporter, inOrder},
		"in turn":  {func(t testing.TB) share { return poorQIDs(t, exporter(t)) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			s, n := trips(t, c.share(t))
			m := mount(t, s)
			check(t, os.Mkdir(filepath.Join(s.root, "dir"), 0o755))
			content := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), 1+i*16000/files) }
			for i := range files {
				old(t, filepath.Join(s.root, "dir", fmt.Sprint(i)), content(i))
			}
			primed(t, m, s)
			_, err := os.ReadDir(m.path("dir"))
			check(t, err)
			before, asked := n.Load(), m.messages()
			for i := range files {
				wantFile(t, m.path(fmt.Sprintf("dir/%d", i)), content(i))
			}
			if got := asked()["Tread"]; got > files+2 {
				t.Errorf("%d Tread for %d files", got, files)
			}
			if got := n.Load() - before; got > c.trips*files+8 {
				t.Errorf("%d round trips for %d files", got, files)
			}
		})
	}
}

// TestOpenWithoutRead: who opens files and does not read them has the server read one of them at most.
func TestOpenWithoutRead(t *testing.T) { onServers(t, testOpenWithoutRead) }

func testOpenWithoutRead(t *testing.T, s share) {
	m := mount(t, s)
	primed(t, m, s)
	for i := range 20 {
		old(t, filepath.Join(s.root, fmt.Sprint(i)), "content")
		stat(t, m.path(fmt.Sprint(i)))
	}
	asked := m.messages()
	for i := range 20 {
		before := m.session.Stats().Fids
		check(t, unix.Close(openFor(t, m.path(fmt.Sprint(i)), unix.O_RDONLY)))
		lab.Eventually(t, 5*time.Second, func() error {
			if m.session.Stats().Fids > before {
				return errors.New("RELEASE is under way")
			}
			return nil
		})
	}
	if got := asked()["Tread"]; got > 1 {
		t.Errorf("%d Tread", got)
	}
}

// TestPrefetchCoherence: what a program reads is the file as it was at its open or later, whoever changes it when.
func TestPrefetchCoherence(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		server := func(name string) string { return filepath.Join(s.root, name) }
		for name, content := range map[string]string{
			"same": "CONTENT", "longer": "something else and longer", "much": strings.Repeat("x", 50_000), "shorter": "x", "empty": "",
		} {
			old(t, server(name), "content")
			primed(t, m, s)
			stat(t, m.path(name))
			write(t, server(name), content)
			wantFile(t, m.path(name), content)
		}
		read := func(fd int) string {
			buf := make([]byte, 100)
			n, err := unix.Pread(fd, buf, 0)
			check(t, err)
			return string(buf[:n])
		}
		opened := func(name string) int {
			old(t, server(name), "content")
			primed(t, m, s)
			stat(t, m.path(name))
			return openFor(t, m.path(name), unix.O_RDONLY)
		}
		fd := opened("written")
		pwrite(t, openFor(t, m.path("written"), unix.O_WRONLY), "CON", 0)
		if got := read(fd); got != "CONtent" {
			t.Errorf("read %q after a write of this mount", got)
		}
		fd = opened("locked")
		write(t, server("locked"), "CONTENT")
		check(t, unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK}))
		if got := read(fd); got != "CONTENT" {
			t.Errorf("read %q under a lock that was taken after the change", got)
		}
	})
}

// TestPrefetchMemory: files that are open and not read hold a bounded part of the arena, for a moment.
func TestPrefetchMemory(t *testing.T) { onServers(t, testPrefetchMemory) }

func testPrefetchMemory(t *testing.T, s share) {
	m := mount(t, s)
	primed(t, m, s)
	for i := range 100 {
		old(t, filepath.Join(s.root, fmt.Sprint(i)), strings.Repeat("x", 10_000))
		stat(t, m.path(fmt.Sprint(i)))
	}
	for i := range 100 {
		openFor(t, m.path(fmt.Sprint(i)), unix.O_RDONLY)
		if used, _ := m.arena.Usage(); used > 16*64<<10+4<<20 { // and what requests are read into
			t.Fatalf("%d bytes of the arena are in use", used)
		}
	}
	lab.Eventually(t, 5*time.Second, func() error {
		if used, _ := m.arena.Usage(); used > 0 {
			return fmt.Errorf("%d bytes of the arena are in use", used)
		}
		return nil
	})
}

// TestPrefetchReconnect: a server that goes while a file is open and not read yet loses no byte of it.
func TestPrefetchReconnect(t *testing.T) {
	s, stop := stoppable(t, server.Options{})
	m := mount(t, s)
	for i := range 5 {
		name := fmt.Sprint(i)
		old(t, filepath.Join(s.root, name), "content")
		primed(t, m, s)
		stat(t, m.path(name))
		fd := openFor(t, m.path(name), unix.O_RDONLY)
		stop()()
		buf := make([]byte, 100)
		n, err := unix.Read(fd, buf)
		check(t, err)
		if string(buf[:n]) != "content" {
			t.Errorf("read %q", buf[:n])
		}
	}
}
