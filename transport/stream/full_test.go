package stream

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFullPipeAmongSignals: a signal, such as Go's scheduler sends to its own threads, does not make a full pipe look as if it had
// room, for which a receiver would wait where nothing more comes.
func TestFullPipeAmongSignals(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	for page := make([]byte, 4096); ; {
		if _, err := unix.Write(fds[1], page); err != nil {
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
	m := moving{pipe: fds[1]}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if !m.full() {
			t.Fatal("a full pipe has room")
		}
	}
}
