package ninefs

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// grace is how long a request goes on after its caller got a signal. The kernel tells of every signal, not only of those that
// kill, and does not say which it was; for a request that it has handed out it then waits for the answer, whatever the signal
// (request_wait_answer of fs/fuse/dev.c, Linux 6.18). So a server that is well answers in time: no system call fails because
// of a timer or of SIGURG, with which Go's scheduler bombards itself, and none that was carried out has to be taken for
// undone. A server that is not well is given up after it, so that what was killed ends.
const grace = 2 * time.Second

// patience returns the context of a request, which ends grace after its caller was interrupted, and with the file system. done
// must be called after the answer.
func (fs *FS) patience(r *fuse.Request) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(fs.ctx)
	var mu sync.Mutex
	var timer *time.Timer
	ended := false
	wait := func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended {
			timer = time.AfterFunc(grace, cancel)
		}
	}
	if !r.OnInterrupt(wait) {
		wait()
	}
	return ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		ended = true
		if timer != nil {
			timer.Stop()
		}
		cancel()
	}
}

// abandonable makes a call that lends memory to the server, from which ninep returns only when the server has let go of it. A
// caller whose patience ends does not wait for that: the call goes on without it, until the server answers or its connection
// ends, and may use nothing of the request.
func abandonable[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := call()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, unix.EINTR
	}
}
