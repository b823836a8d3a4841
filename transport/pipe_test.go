package transport_test

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
)

// TestFullPipeAmongSignals: a signal, such as Go's scheduler sends to its own threads, does not make a full pipe look as if it had
// room, for which a receiver would wait where nothing more comes.
func TestFullPipeAmongSignals(t *testing.T) {
	var pipes transport.Pipes
	defer pipes.Close()
	pipe := pipes.Get()
	if pipe == nil {
		t.Fatal("no pipe is to be had")
	}
	defer pipe.Release(false)
	if pipe.Full() {
		t.Fatal("a pipe with nothing in it is full")
	}
	_, in := pipe.Ends()
	for page := make([]byte, 4096); ; {
		if _, err := unix.Write(in, page); err != nil {
			break
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, stop, stopped := unix.Gettid(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Tgkill(unix.Getpid(), thread, unix.SIGURG)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if !pipe.Full() {
			t.Fatal("a full pipe has room")
		}
	}
}
