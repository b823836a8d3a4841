package virtio

import (
	"runtime"
	"time"

	"github.com/csi-9p/csi-9p/transport/virtio/vring"
)

// poller decides how long to look for a reply before sleeping: longer as long as
// that saves sleeps or sleeps are short, else less and less, as the kernel does
// for halted guests (Documentation/virt/kvm/halt-polling.rst).
type poller struct {
	most, now time.Duration
}

// poll looks for something that the device has used, and reports whether there is.
// Other goroutines run meanwhile.
func (p *poller) poll(r *vring.Ring) bool {
	if p.now == 0 {
		return r.Pending()
	}
	for end := time.Now().Add(p.now); ; runtime.Gosched() {
		if r.Pending() {
			p.grow()
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// slept is told how long it took until there was something to do.
func (p *poller) slept(d time.Duration) {
	if d < p.most {
		p.grow()
	} else if p.now /= 2; p.now < p.most/16 {
		p.now = 0
	}
}

func (p *poller) grow() { p.now = min(p.most, max(2*p.now, p.most/8)) }
