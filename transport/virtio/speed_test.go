package virtio_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/virtiotest"
)

// prompt answers every element as soon as it comes, and allocates nothing: a payload is as it was found.
func prompt(e *virtiotest.Element) {
	var reply [11]byte
	binary.LittleEndian.PutUint32(reply[:], 11)
	reply[4] = e.Type() + 1
	binary.LittleEndian.PutUint16(reply[5:], e.Tag())
	n := 0
	if e.Type() == tread {
		n = int(binary.LittleEndian.Uint32(e.Request[19:]))
		binary.LittleEndian.PutUint32(reply[:], uint32(11+n))
		binary.LittleEndian.PutUint32(reply[7:], uint32(n))
	}
	e.Write(reply[:])
	e.Return(uint32(11 + n))
}

// transfer is a call that is made again and again.
type transfer struct {
	*transport.Call
	conn *virtio.Conn
	over chan struct{}
}

func (x *transfer) Complete(*transport.Call) { x.over <- struct{}{} }

func (r *rig) transfer(call *transport.Call) *transfer {
	x := &transfer{Call: call, conn: r.Conn, over: make(chan struct{}, 1)}
	call.Done = x
	return x
}

func (x *transfer) run() {
	x.conn.Submit(x.Call)
	<-x.over
}

// TestTransfersAllocateNothing, wherever the payload lies.
func TestTransfersAllocateNothing(t *testing.T) {
	r := newRig(t, virtiotest.Options{Handle: prompt, Reuse: true}, virtio.Options{})
	for _, n := range []int{100, 4096, 1 << 20} {
		for where, payload := range map[string][]byte{"in place": r.slot(t, n), "bounced": make([]byte, n)} {
			for name, call := range map[string]*transport.Call{"read": r.read(1, payload), "write": r.write(2, payload)} {
				x := r.transfer(call)
				if allocations := testing.AllocsPerRun(100, x.run); allocations != 0 || x.Err != nil {
					t.Errorf("%s of %d bytes %s: %v allocations, %v", name, n, where, allocations, x.Err)
				}
			}
		}
	}
}

// BenchmarkRing has calls go to a device that answers at once, in a goroutine of this process: what is measured is the driver, the device in
// memory and the way between the two goroutines.
func BenchmarkRing(b *testing.B) {
	for _, n := range []int{0, 4 << 10, 64 << 10, 1 << 20} {
		for _, where := range []string{"in place", "bounced"} {
			b.Run(fmt.Sprintf("read/%dKiB/%s", n>>10, where), func(b *testing.B) {
				r := newRig(b, virtiotest.Options{Handle: prompt, Reuse: true}, virtio.Options{})
				payload := make([]byte, n)
				if where == "in place" && n > 0 {
					payload = r.slot(b, n)
				}
				x := r.transfer(r.read(1, payload))
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					x.run()
				}
			})
		}
	}
}

// BenchmarkRingInFlight keeps many calls in flight.
func BenchmarkRingInFlight(b *testing.B) {
	const inFlight = 32
	r := newRig(b, virtiotest.Options{Handle: prompt, Reuse: true}, virtio.Options{})
	over := make(chan struct{}, inFlight)
	var transfers []*transfer
	for tag := range uint16(inFlight) {
		x := r.transfer(r.read(tag, r.slot(b, 4096)))
		x.over = over
		transfers = append(transfers, x)
	}
	b.ReportAllocs()
	notified, calls := r.Notified(), 0
	for b.Loop() {
		for _, x := range transfers {
			r.Submit(x.Call)
		}
		for range transfers {
			<-over
		}
		calls += inFlight
	}
	b.ReportMetric(float64(r.Notified()-notified)/float64(calls), "kicks/call")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(calls), "ns/call")
}
