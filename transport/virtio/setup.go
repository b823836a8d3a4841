package virtio

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"

	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio/vring"
)

const (
	// maxQueue is the most descriptors that are used of a large queue.
	maxQueue = 256
	// minQueue is the fewest that a connection makes do with: room for an
	// urgent call beside another.
	minQueue = 8
	// maxChain is the most descriptors of one call. Devices take no more than
	// the queue has (virtio 1.2, section 2.7.5.3.1), which is 128 in all that are
	// known.
	maxChain = 128
	// chainHeads is how many descriptors of a chain are not the payload's: for the
	// head, the reply's head, the tail, and one for a head and payload that do
	// not share bounce buffers evenly.
	chainHeads = 4
	// maxReserve is how many calls urgent ones can be beyond those that fill
	// the queue.
	maxReserve = 16
	// urgentParts is the most descriptors of an urgent call.
	urgentParts = 2
)

// wantedFeatures are those that are accepted if they are offered.
const wantedFeatures = FeatureMountTag | FeatureIndirect | FeatureEventIndex | FeatureVersion1 | FeatureAccessPlatform

// ErrUnsuitable is wrapped by New's error for a device that cannot be driven.
var ErrUnsuitable = errors.New("a device that this driver cannot drive")

// New makes a connection of a device and owns that from then on, also if it
// fails: the device is reset and closed at the end. ctx bounds nothing but lends
// its logger, for a device that does not let go of memory.
func New(ctx context.Context, device Device, o Options) (*Conn, error) {
	o = o.withDefaults()
	c := &Conn{
		device: device, memory: o.Memory, log: klog.FromContext(ctx).WithValues("device", device.String()),
		poller: poller{most: max(o.Poll, 0)}, lost: make(chan struct{}),
	}
	c.idle.L = &c.mu
	if err := c.start(o); err != nil {
		if c.ring != nil { // the device knows of memory
			c.quiesce()
		}
		c.memory.Detach(device)
		err = errors.Join(err, device.Close())
		if c.free != nil {
			err = errors.Join(err, c.free())
		}
		return nil, fmt.Errorf("virtio device %s: %w", device, err)
	}
	go c.run()
	return c, nil
}

func (o Options) withDefaults() Options {
	if o.Memory == nil {
		o.Memory = new(transport.Memory)
	}
	if o.MaxMsize == 0 {
		o.MaxMsize = DefaultMaxMsize
	}
	if o.Poll == 0 && runtime.GOMAXPROCS(0) > 1 { // a lone processor is the device's too
		o.Poll = DefaultPoll
	}
	return o
}

// start brings the device up (virtio 1.2, section 3.1.1).
func (c *Conn) start(o Options) error {
	if err := c.device.Reset(); err != nil {
		return fmt.Errorf("resetting it: %w", err)
	}
	c.device.SetStatus(StatusAcknowledge)
	c.device.SetStatus(StatusAcknowledge | StatusDriver)
	offered := c.device.Features()
	if offered&FeatureVersion1 == 0 {
		return fmt.Errorf("%w: it is of before virtio 1.0 (features %#x)", ErrUnsuitable, offered)
	}
	features := offered & wantedFeatures
	c.device.SetFeatures(features)
	const agreed = StatusAcknowledge | StatusDriver | StatusFeaturesOK
	c.device.SetStatus(agreed)
	if status := c.device.Status(); status != agreed {
		return fmt.Errorf("%w: it does not accept features %#x of %#x (status %#x)", ErrUnsuitable, features, offered, status)
	}
	if err := c.memory.Attach(c.device); err != nil {
		return err
	}
	queue, err := c.makeQueue(o, features)
	if err != nil {
		return err
	}
	if err := c.device.EnableQueue(queue); err != nil {
		return fmt.Errorf("setting its queue up: %w", err)
	}
	c.device.SetStatus(agreed | StatusDriverOK)
	return nil
}

// makeQueue makes the ring and what belongs to it, in memory of its own.
func (c *Conn) makeQueue(o Options, features uint64) (Queue, error) {
	size := c.device.QueueSize()
	if size < minQueue {
		return Queue{}, fmt.Errorf("%w: its queue has %d elements, %d are needed", ErrUnsuitable, size, minQueue)
	}
	size = 1 << (bits.Len(uint(min(size, maxQueue))) - 1)
	c.limits.indirect = features&FeatureIndirect != 0
	c.size(size, o.MaxMsize)
	own, err := c.allocate(size)
	if err != nil {
		return Queue{}, err
	}
	ring, err := own.take(vring.Bytes(size), chunkBytes)
	if err != nil {
		return Queue{}, err
	}
	c.ring, err = vring.New(ring.bytes, vring.Options{Size: size, EventIndex: features&FeatureEventIndex != 0})
	if err != nil {
		return Queue{}, err
	}
	c.heads = make([]*slot, size)
	avail, used := c.ring.Offsets()
	return Queue{Size: size, Desc: ring.addr, Avail: ring.addr + uint64(avail), Used: ring.addr + uint64(used)}, c.carve(own)
}

// size settles how much is in flight. With indirect tables a call takes one
// descriptor of the queue; without, as many as it has parts, of which a quarter
// of the queue is the most.
func (c *Conn) size(queue int, msize uint32) {
	slots, chain := queue, min(queue, maxChain)
	if !c.limits.indirect {
		slots, chain = queue/urgentParts, min(queue/4, maxChain)
	}
	reserve := min(maxReserve, slots/4)
	if !c.limits.indirect {
		c.reserve = reserve * urgentParts
	}
	c.limits.extents = max(1, chain-chainHeads)
	c.traits = transport.Traits{
		Name:      "virtio",
		MaxMsize:  min(msize, uint32(c.limits.extents*chunkBytes)),
		ZeroCopy:  true,
		Threshold: payloadThreshold,
		Slots:     slots - reserve,
		Window:    DefaultWindow,
	}
	c.limits.bytes = int(c.traits.MaxMsize) + inRoom
	c.msize.Store(c.traits.MaxMsize)
	c.window = transport.NewWindow(transport.WindowOptions{
		Slots: slots - reserve, Bytes: DefaultWindow, Shared: DefaultShared, Reserve: reserve,
	})
}
