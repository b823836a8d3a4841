package fuse_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/test/lab"
)

// hold has the READs of fs kept and passed to the channel instead of answered.
func hold(fs *memFS) <-chan *fuse.Request {
	held := make(chan *fuse.Request, 16)
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpRead {
			return false
		}
		held <- r
		return true
	})
	return held
}

// start starts a client process that reads name and gets stuck in it.
func (m *mounted) start(t *testing.T, name string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd = client(t, "read", m.path(name))
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdout, stderr
}

// receive is a receive from ch that does not wait for ever.
func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
		panic("unreachable")
	}
}

func TestSignalCancelsContext(t *testing.T) { lab.Loops(t, testSignalCancelsContext) }

func testSignalCancelsContext(t *testing.T, on fuse.IOURing) {
	for _, readers := range []int{1, 4} {
		fs := newMemFS(t, on)
		fs.add("data", nil).size = 4096
		held := hold(fs)
		m := mount(t, fs, fuse.Config{Readers: readers})
		cmd, _, _ := m.start(t, "data")
		r := receive(t, "a READ", held)
		ctx := r.Context()
		called := make(chan struct{})
		if !r.OnInterrupt(func() { close(called) }) {
			t.Fatal("interrupted before the signal")
		}
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		receive(t, "the request's context to end", ctx.Done())
		receive(t, "OnInterrupt's call", called)
		if !errors.Is(context.Cause(ctx), fuse.ErrInterrupted) {
			t.Errorf("cause %v", context.Cause(ctx))
		}
		r.ReplyError(unix.EINTR)
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("the client ended with %v", err)
		}
	}
}

func TestAbortWakesEverything(t *testing.T) { lab.Loops(t, testAbortWakesEverything) }

func testAbortWakesEverything(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.add("data", nil).size = 4096
	held := hold(fs)
	m := mount(t, fs, fuse.Config{})
	cmd, _, stderr := m.start(t, "data")
	r := receive(t, "a READ", held)
	ctx := r.Context()
	if err := fuse.Abort(m.id); err != nil {
		t.Fatal(err)
	}
	if err := m.conn.Wait(); !errors.Is(err, fuse.ErrAborted) {
		t.Errorf("Wait returned %v", err)
	}
	receive(t, "the request's context to end", ctx.Done())
	if !errors.Is(context.Cause(ctx), fuse.ErrEnded) {
		t.Errorf("cause %v", context.Cause(ctx))
	}
	r.ReplyError(unix.EIO)
	if err := cmd.Wait(); err == nil || strings.TrimSpace(stderr.String()) != "ECONNABORTED" {
		t.Errorf("the client ended with %v: %s", err, stderr)
	}
	var st unix.Stat_t
	if err := unix.Stat(m.dir, &st); !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
		t.Errorf("stat afterwards: %v", err)
	}
	if err := fuse.Unmount(m.dir); err != nil {
		t.Error(err)
	}
	if err := fuse.Abort(m.id); err != nil {
		t.Errorf("abort of what is gone: %v", err)
	}
}

// TestAbortThroughMountedFusectl has fusectl mounted where hosts have it, in a mount name space of the client's own.
func TestAbortThroughMountedFusectl(t *testing.T) { lab.Loops(t, testAbortThroughMountedFusectl) }

func testAbortThroughMountedFusectl(t *testing.T, on fuse.IOURing) {
	m := mount(t, newMemFS(t, on), fuse.Config{})
	cmd := client(t, "abort", strconv.FormatUint(uint64(m.id), 10))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := m.conn.Wait(); !errors.Is(err, fuse.ErrAborted) {
		t.Errorf("Wait returned %v", err)
	}
}

func TestUnmountEndsWait(t *testing.T) { lab.Loops(t, testUnmountEndsWait) }

func testUnmountEndsWait(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	m := mount(t, fs, fuse.Config{Readers: 3})
	select {
	case <-m.conn.Done():
		t.Fatal("it ended before the unmount")
	default:
	}
	if err := fuse.Unmount(m.dir); err != nil {
		t.Fatal(err)
	}
	receive(t, "the end", m.conn.Done())
	if err := m.conn.Wait(); err != nil {
		t.Errorf("Wait returned %v", err)
	}
}

func TestServeWithoutMount(t *testing.T) {
	fs := newMemFS(t, fuse.IOURingOff)
	dev, err := fuse.OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	cfg := fuse.Config{Handler: fs, Buffers: fs.slots}
	if _, err := fuse.Serve(t.Context(), dev, cfg); !errors.Is(err, unix.EPERM) {
		t.Errorf("a device without a mount: %v", err)
	}
	m := mountOnly(t)
	if err := fuse.Unmount(m.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := fuse.Serve(t.Context(), m.dev, cfg); !errors.Is(err, fuse.ErrEnded) {
		t.Errorf("a mount that is gone: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	fs := newMemFS(t, fuse.IOURingOff)
	m := mountOnly(t)
	for want, cfg := range map[string]fuse.Config{
		"Handler":  {Buffers: fs.slots},
		"Buffers":  {Handler: fs},
		"MaxWrite": {Handler: fs, Buffers: fs.slots, MaxWrite: 10000},
		"Readers":  {Handler: fs, Buffers: fs.slots, Readers: 5},
		"Flags":    {Handler: fs, Buffers: fs.slots, Flags: 1 << 41},
		"State":    {Handler: fs, Buffers: fs.slots, State: make([]byte, 16)},
	} {
		if _, err := fuse.Serve(t.Context(), m.dev, cfg); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// state is memory for an InitRecord.
func state(t *testing.T) []byte { return aligned(t, 4096)[:fuse.InitRecordSize] }

func TestResumeAnswersRequestsInFlight(t *testing.T) {
	fs := newMemFS(t, fuse.IOURingOff)
	want := pattern(t, 64<<10)
	fs.add("data", want)
	held := hold(fs)
	m := mountOnly(t)
	cfg := fuse.Config{State: state(t), MaxWrite: 256 << 10}
	first := m.serveOnly(t, fs, cfg)
	if init := first.Init(); init.Offered()&fuse.HasResend == 0 {
		_ = first.Close(t.Context())
		t.Skip("the kernel cannot send requests again: that came with Linux 6.9")
	}
	cmd, stdout, stderr := m.start(t, "data")
	lost := receive(t, "a READ", held)

	now, cancel := context.WithCancel(t.Context())
	cancel()
	ctx := lost.Context()
	if err := first.Close(now); !errors.Is(err, context.Canceled) {
		t.Errorf("Close with a request in flight: %v", err)
	}
	receive(t, "the request's context to end", ctx.Done())
	lost.ReplyError(unix.EIO)

	var mu sync.Mutex
	resent := map[uint64]bool{}
	fs.setTake(func(r *fuse.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		resent[r.Unique()] = r.Resent()
		return false
	})
	cfg.MaxWrite = 0
	second := m.serve(t, fs, cfg)
	if err := cmd.Wait(); err != nil || !bytes.Equal(stdout.Bytes(), want) {
		t.Errorf("the client ended with %v (%s) and %d bytes", err, stderr, stdout.Len())
	}
	mu.Lock()
	defer mu.Unlock()
	marked := 0
	for _, is := range resent {
		if is {
			marked++
		}
	}
	if marked != 1 {
		t.Errorf("%d of %d requests are marked as resent", marked, len(resent))
	}
	if a, b := first.Init(), second.Init(); a.Out != b.Out || b.Out.MaxWrite != 256<<10 || b.Flags()&fuse.HasResend == 0 {
		t.Errorf("negotiated %+v, resumed with %+v", a.Out, b.Out)
	}
}

func TestSuccessorOfAKilledServer(t *testing.T) {
	fs := newMemFS(t, fuse.IOURingOff)
	want := pattern(t, 64<<10)
	fs.add("data", want)
	m := mountOnly(t)
	memfd, err := unix.MemfdCreate("state", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	state := os.NewFile(uintptr(memfd), "state")
	defer state.Close()
	if err := state.Truncate(int64(fuse.InitRecordSize)); err != nil {
		t.Fatal(err)
	}
	server := client(t, "serve")
	server.ExtraFiles = []*os.File{m.dev, state}
	held, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	reader, stdout, stderr := m.start(t, "data")
	if _, err := bufio.NewReader(held).ReadString('\n'); err != nil {
		t.Fatalf("the server got no READ: %v", err)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()

	mem, err := unix.Mmap(memfd, 0, fuse.InitRecordSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	conn := m.serve(t, fs, fuse.Config{State: mem})
	if init := conn.Init(); init.Offered()&fuse.HasResend == 0 {
		_ = fuse.Abort(m.id)
		t.Skip("the kernel cannot send requests again: that came with Linux 6.9")
	}
	if err := reader.Wait(); err != nil || !bytes.Equal(stdout.Bytes(), want) {
		t.Errorf("the client ended with %v (%s) and %d bytes", err, stderr, stdout.Len())
	}
}

func TestCloseDrainsThenHandsOver(t *testing.T) {
	fs := newMemFS(t, fuse.IOURingOff)
	want := pattern(t, 64<<10)
	fs.add("data", want)
	held := hold(fs)
	m := mountOnly(t)
	cfg := fuse.Config{State: state(t)}
	first := m.serveOnly(t, fs, cfg)
	cmd, stdout, _ := m.start(t, "data")
	r := receive(t, "a READ", held)
	fs.setTake(nil)

	closed := make(chan error, 1)
	go func() { closed <- first.Close(context.Background()) }()
	receive(t, "the end of reading", first.Done())
	select {
	case err := <-closed:
		t.Fatalf("Close did not wait for the request: %v", err)
	default:
	}
	fs.Handle(r)
	if err := receive(t, "Close", closed); err != nil {
		t.Errorf("Close: %v", err)
	}
	m.serve(t, fs, cfg)
	if err := cmd.Wait(); err != nil || !bytes.Equal(stdout.Bytes(), want) {
		t.Errorf("the client ended with %v and %d bytes", err, stdout.Len())
	}
}

// oneSlot is a Buffers of one buffer.
type oneSlot struct {
	slotPool
	token chan struct{}
}

func newOneSlot() *oneSlot {
	p := &oneSlot{token: make(chan struct{}, 1)}
	p.token <- struct{}{}
	return p
}

func (p *oneSlot) TryGet(n int) fuse.Buffer {
	select {
	case <-p.token:
		return &onlySlot{p.slotPool.TryGet(n), p}
	default:
		return nil
	}
}

func (p *oneSlot) Get(ctx context.Context, n int) (fuse.Buffer, error) {
	select {
	case <-p.token:
		return &onlySlot{p.slotPool.TryGet(n), p}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type onlySlot struct {
	fuse.Buffer
	pool *oneSlot
}

func (s *onlySlot) Release() {
	s.Buffer.Release()
	s.pool.token <- struct{}{}
}

// TestInterruptWithoutABuffer: while requests hold every buffer, a killed process still gets away.
func TestInterruptWithoutABuffer(t *testing.T) { lab.Loops(t, testInterruptWithoutABuffer) }

func testInterruptWithoutABuffer(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.add("data", nil).size = 1 << 20
	held := make(chan *fuse.Request, 2)
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpWrite && r.Opcode() != fuse.OpRead {
			return false
		}
		held <- r
		return true
	})
	buffers := newOneSlot()
	t.Cleanup(buffers.close) // after the unmount, which mount sees to
	m := mount(t, fs, fuse.Config{Buffers: buffers})
	fd := open(t, m.path("data"), unix.O_WRONLY|unix.O_DIRECT)
	cmd, _, _ := m.start(t, "data")
	read := receive(t, "a READ", held)
	ctx := read.Context()
	wrote := make(chan error, 1)
	go func() {
		_, err := unix.Pwrite(fd, make([]byte, 4096), 0)
		wrote <- err
	}()
	write := receive(t, "a WRITE", held)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	receive(t, "the READ's context to end", ctx.Done())
	read.ReplyError(unix.EINTR)
	write.ReplyWrite(4096)
	if err := receive(t, "the write", wrote); err != nil {
		t.Errorf("write: %v", err)
	}
	_ = cmd.Wait()
}

func TestReaderWaitsForABuffer(t *testing.T) {
	for _, end := range []string{"release", "close", "abort"} {
		t.Run(end, func(t *testing.T) {
			fs := newMemFS(t, fuse.IOURingOff)
			fs.add("data", nil).size = 1 << 20
			writes := make(chan *fuse.Request, 1)
			fs.setTake(func(r *fuse.Request) bool {
				if r.Opcode() != fuse.OpWrite {
					return false
				}
				writes <- r
				return true
			})
			m := mountOnly(t)
			buffers := newOneSlot()
			defer buffers.close()
			conn := m.serveOnly(t, fs, fuse.Config{Buffers: buffers})
			fd := open(t, m.path("data"), unix.O_WRONLY|unix.O_DIRECT)
			t.Cleanup(func() { _ = fuse.Abort(m.id) }) // before fd is closed, which would wait for an answer
			wrote := make(chan error, 1)
			go func() {
				_, err := unix.Pwrite(fd, make([]byte, 4096), 0)
				wrote <- err
			}()
			w := receive(t, "a WRITE", writes)
			stat := make(chan error, 1)
			go func() {
				var st unix.Stat_t
				stat <- unix.Stat(m.path("data"), &st)
			}()
			buf := w.TakeBuffer()
			w.ReplyWrite(4096)
			if err := receive(t, "the write", wrote); err != nil {
				t.Errorf("write: %v", err)
			}
			switch end {
			case "release":
				buf.Release()
				if err := receive(t, "stat", stat); err != nil {
					t.Errorf("stat: %v", err)
				}
			case "abort":
				if err := fuse.Abort(m.id); err != nil {
					t.Fatal(err)
				}
				if err := conn.Wait(); !errors.Is(err, fuse.ErrAborted) {
					t.Errorf("Wait returned %v", err)
				}
			}
			if err := conn.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
			if end != "release" {
				buf.Release()
				_ = fuse.Abort(m.id)
				_ = receive(t, "stat", stat)
			}
		})
	}
}

func TestServeKeepsItsOwnDescriptor(t *testing.T) { lab.Loops(t, testServeKeepsItsOwnDescriptor) }

func testServeKeepsItsOwnDescriptor(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.add("data", []byte("content"))
	m := mount(t, fs, fuse.Config{})
	if err := m.dev.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := client(t, "read", m.path("data")).Output()
	if err != nil || string(out) != "content" {
		t.Errorf("read %q, %v", out, err)
	}
	if err := m.conn.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Nobody has the device any more: the kernel ends the connection by itself.
	cmd := client(t, "read", m.path("data"))
	cmd.Stdout = io.Discard
	if err := cmd.Run(); err == nil {
		t.Error("the mount still answers")
	}
}
