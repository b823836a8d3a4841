package ninefs

import (
	"context"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// grace is how long a request goes on after its caller got a signal. The kernel tells of every signal, not only of those that
// kill: a server that is well answers in time, so that no system call fails because of a timer or of SIGURG, with which Go's
// scheduler bombards itself, and none that was carried out has to be taken for undone. A server that is not well is given up
// after it, so that what was killed ends.
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
