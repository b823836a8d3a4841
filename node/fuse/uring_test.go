package fuse_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/test/lab"
)

// TestWaitersLeaveRoom: however many requests wait for something, others get through.
func TestWaitersLeaveRoom(t *testing.T) { lab.Loops(t, testWaitersLeaveRoom) }

func testWaitersLeaveRoom(t *testing.T, on fuse.IOURing) {
	const waiters = 200
	fs := newMemFS(t, on)
	fs.add("data", pattern(t, 1<<20))
	waiting := make(chan *fuse.Request, waiters)
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpSetlkw {
			return false
		}
		waiting <- r
		return true
	})
	m := mount(t, fs, fuse.Config{})
	fd := open(t, m.path("data"), unix.O_RDWR|unix.O_DIRECT)
	var locks errgroup.Group
	var held []*fuse.Request
	for range waiters {
		locks.Go(func() error {
			return unix.FcntlFlock(uintptr(fd), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK, Len: 1})
		})
		held = append(held, receive(t, "a SETLKW", waiting))
	}
	buf := aligned(t, 1<<20)
	var others errgroup.Group
	for i := range 16 {
		others.Go(func() error {
			var st unix.Stat_t
			_, err := unix.Pread(fd, buf[i*4096:][:4096], 0)
			return errors.Join(err, unix.Stat(m.path("data"), &st))
		})
	}
	if err := others.Wait(); err != nil {
		t.Error(err)
	}
	for _, r := range held {
		r.ReplyOK()
	}
	if err := locks.Wait(); err != nil {
		t.Error(err)
	}
}

// TestTakenRoom: the memory of a READ that was given up stays with who has it, and disturbs no other request.
func TestTakenRoom(t *testing.T) {
	lab.NeedIOURing(t)
	fs := newMemFS(t, fuse.IOURingRequire)
	want := pattern(t, 64<<10)
	fs.add("data", want)
	held := hold(fs)
	m := mount(t, fs, fuse.Config{})
	fd := open(t, m.path("data"), unix.O_RDONLY|unix.O_DIRECT)
	buf := aligned(t, len(want))
	for range 20 {
		read := make(chan error, 1)
		go func() {
			_, err := unix.Pread(fd, buf, 0)
			read <- err
		}()
		r := receive(t, "a READ", held)
		if len(r.Room()) < len(want) {
			t.Fatalf("room of %d bytes", len(r.Room()))
		}
		taken := r.TakeBuffer()
		if r.TakeBuffer() != nil {
			t.Error("the buffer was handed over twice")
		}
		r.ReplyError(unix.EINTR)
		if err := receive(t, "the read", read); !errors.Is(err, unix.EINTR) {
			t.Errorf("the read ended with %v", err)
		}
		go func() {
			_, err := unix.Pread(fd, buf, 0)
			read <- err
		}()
		r = receive(t, "a READ", held)
		copy(r.Room(), want)
		clear(taken.Bytes())
		r.ReplyData(r.Room()[:len(want)])
		if err := receive(t, "the read", read); err != nil || !bytes.Equal(buf, want) {
			t.Errorf("%v, or wrong data", err)
		}
		taken.Release()
	}
}

// TestIdleRingHoldsNoMemory: payloads of a mount without work are given back.
func TestIdleRingHoldsNoMemory(t *testing.T) {
	lab.NeedIOURing(t)
	fs := newMemFS(t, fuse.IOURingRequire)
	fs.add("data", nil).size = 64 << 20
	m := mount(t, fs, fuse.Config{})
	fd := open(t, m.path("data"), unix.O_RDONLY|unix.O_DIRECT)
	var reads errgroup.Group
	for i := range 8 {
		buf := aligned(t, 1<<20)
		reads.Go(func() error {
			_, err := unix.Pread(fd, buf, int64(i)<<20)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		t.Fatal(err)
	}
	if residentPayload(t) == 0 {
		t.Error("the payloads are not where the test looks")
	}
	eventually(t, "the payloads' memory is given back", func() bool { return residentPayload(t) == 0 })
}

// residentPayload is how much of the rings' payloads is in memory, in KiB (proc_pid_smaps(5)).
func residentPayload(t *testing.T) (kib int) {
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if !strings.HasSuffix(fields[0], ":") {
			inside = strings.Contains(line, "memfd:fuse-payloads")
		} else if inside && fields[0] == "Rss:" {
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			kib += n
		}
	}
	return kib
}

// TestRingCannotBeResumed: nobody goes on with a connection whose requests were a ring's.
func TestRingCannotBeResumed(t *testing.T) {
	lab.NeedIOURing(t)
	fs := newMemFS(t, fuse.IOURingRequire)
	m := mountOnly(t)
	cfg := fuse.Config{Handler: fs, Buffers: fs.slots, State: state(t), IOURing: fuse.IOURingRequire}
	conn := m.serveOnly(t, fs, cfg)
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := fuse.Serve(t.Context(), m.dev, cfg); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("got %v", err)
	}
}

// TestCloseWithRequestsOut: Close gives up on requests that nobody answers, and late answers and memory do no harm.
func TestCloseWithRequestsOut(t *testing.T) {
	lab.NeedIOURing(t)
	fs := newMemFS(t, fuse.IOURingRequire)
	fs.add("data", nil).size = 1 << 20
	held := hold(fs)
	m := mountOnly(t)
	conn := m.serveOnly(t, fs, fuse.Config{})
	cmd, _, stderr := m.start(t, "data")
	r := receive(t, "a READ", held)
	ctx, room := r.Context(), r.Room()
	now, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := conn.Close(now); err == nil {
		t.Error("Close did not mind the request")
	}
	receive(t, "the request's context to end", ctx.Done())
	clear(room)
	taken := r.TakeBuffer()
	r.ReplyError(unix.EIO)
	clear(taken.Bytes())
	taken.Release()
	if err := m.dev.Close(); err != nil { // the last one: the kernel ends the connection
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || strings.TrimSpace(stderr.String()) != "ECONNABORTED" {
		t.Errorf("the client ended with %v: %s", err, stderr)
	}
}
