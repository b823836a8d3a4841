package ninefs

import (
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
)

// coarse is the coarsest time stamp of a server's file system: content that was read within it of a change can be changed
// again without a trace in the time stamp. (FAT's two seconds; ext3's one; a tick of the kernel on most.)
const coarse = 2 * time.Second

// content is what the mount and the kernel know of a file's content. Its stamp, what the server last told, is in the node's
// record.
type content struct {
	mu sync.Mutex
	// epoch counts this mount's own changes and its locks: an answer that the server gave before one of them tells nothing about now.
	epoch uint64
	attr  ninep.Attr // as the server last told
	// last is what the file was like when its last name was removed while it was open.
	last *ninep.Attr
	// measured is when the server told the size.
	measured time.Time
	// toldUntil is how long the kernel may go by attributes that it was given.
	toldUntil time.Time

	// cached: pages may be in the kernel's cache, and all of them are of the content with the stamp seen, unless written or
	// young. In Loose seen is what the kernel's pages, size and times go back to, whether there are pages or not.
	cached  bool
	seen    stamp
	since   time.Time // of seen, in Loose
	written bool      // by this mount since: what others wrote meanwhile would hide behind it
	young   bool      // seen was so young that a change of the same moment would not show

	// mtime is what the kernel goes by in Loose, and retime says that the server may have another one since by what was written back.
	mtime  ninep.Timespec
	retime bool
}

// now returns the epoch to hand to [node.tell] with the answer to a question asked after it.
func (n *node) now() uint64 {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	return n.content.epoch
}

// outdate makes whatever the server has answered until now tell nothing about the file any more, and returns the new epoch.
func (n *node) outdate() uint64 {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	n.content.epoch++
	return n.content.epoch
}

// tell records attributes that the kernel is being told, valid for ttl, unless this mount changed the file since epoch.
func (n *node) tell(a ninep.Attr, epoch uint64, ttl time.Duration) {
	c := &n.content
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attr = a
	if c.epoch != epoch {
		return
	}
	n.rec.setStamp(stampOf(a))
	c.measured = time.Now()
	c.toldUntil = c.measured.Add(ttl)
}

// wrote records a write of this mount that ended at the offset end. back: the kernel wrote it back, and goes by a time of its own.
func (n *node) wrote(end uint64, back bool) {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	n.rec.Size = max(n.rec.Size, end)
	n.content.epoch++
	n.content.written = true
	n.content.retime = n.content.retime || back
}

// resized records a change of the size by this mount.
func (n *node) resized(size uint64) {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	n.rec.Size = size
	n.content.epoch++
	n.content.written = true
}

// altered records a change of attributes by this mount.
func (n *node) altered() {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	n.content.epoch++
	n.content.written = true
}

// part keeps the attributes of an open file whose name is being removed.
func (n *node) part(a ninep.Attr) {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	n.content.last = &a
}

// parted returns the attributes of a file that the server can't tell of any more, because it looks for them under the name
// that is gone (diod, QEMU before 10), although it goes on reading and writing.
func (n *node) parted() (a ninep.Attr, ok bool) {
	c := &n.content
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		return a, false
	}
	a = *c.last
	if a.Nlink -= min(1, a.Nlink); n.rec.isDir() {
		a.Nlink = 0
	}
	return n.sized(a), true
}

// measured records the size that the server tells, which the kernel is not being told.
func (n *node) measured(size uint64) {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	n.rec.Size, n.content.measured = size, time.Now()
}

// endsAt reports whether the file ended at an offset when the server told its size less than ttl ago, and this mount wrote on.
func (n *node) endsAt(off uint64, ttl time.Duration) bool {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	return n.rec.Size == off && time.Since(n.content.measured) < ttl
}

// unchanged reports whether a file still has the size that it had in an epoch which has not ended.
func (n *node) unchanged(epoch, size uint64) bool {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	return n.content.epoch == epoch && n.rec.Size == size
}

// endWithin returns where the file ends if that is between two offsets and the server told its size less than ttl ago; else 0.
func (n *node) endWithin(from, to uint64, ttl time.Duration) int64 {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	if end := n.rec.Size; from < end && end < to && time.Since(n.content.measured) < ttl {
		return int64(end)
	}
	return 0
}

// mode is the file's mode as this mount knows it.
func (n *node) mode() uint32 {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	return n.content.attr.Mode
}

// remode records the mode that a file has now.
func (n *node) remode(mode uint32) {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	n.content.attr.Mode = mode
}

// known returns the attributes that the server last told, and the size that this mount has made of it since.
func (n *node) known() ninep.Attr {
	n.content.mu.Lock()
	defer n.content.mu.Unlock()
	return n.sized(n.content.attr)
}

// sized gives attributes the size in the record. The caller holds content.mu.
func (n *node) sized(a ninep.Attr) ninep.Attr {
	if a.Size != n.rec.Size {
		a.Size, a.Blocks = n.rec.Size, (n.rec.Size+511)/512
	}
	return a
}

// verdict is what has to be done before an application may see a file that the server was asked about.
type verdict struct {
	stale bool // the kernel has to drop pages and attributes first
	keep  bool // its pages are right
}

// judge compares what the server says of a file being opened with what the kernel may have of it. It is the rule of
// close-to-open: whatever another client closed before is seen from here on. truncates: none of its pages is to stay.
func (n *node) judge(a ninep.Attr, epoch uint64, truncates bool) verdict {
	c := &n.content
	c.mu.Lock()
	defer c.mu.Unlock()
	s := stampOf(a)
	told := time.Now().Before(c.toldUntil) && n.rec.stamp() != s
	right := c.cached && c.seen == s && !c.written && !c.young && !truncates
	v := verdict{keep: right, stale: told || c.cached && !right}
	if c.epoch == epoch {
		n.rec.setStamp(s)
		c.measured = time.Now()
	}
	return v
}

// trust records that from now on the kernel's pages of a file are those that a says, because older ones were dropped.
func (n *node) trust(a ninep.Attr, epoch uint64, young bool) {
	c := &n.content
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cached, c.seen, c.young = true, stampOf(a), young
	c.written = c.epoch != epoch
	c.toldUntil = time.Time{}
}

// serverClock is a lower bound of the server's clock, which need not agree with ours: the latest change time that it showed
// us, and the time that has passed since. Change times, unlike modification times, can't be set at will.
type serverClock struct {
	mu   sync.Mutex
	seen time.Time // the server's
	at   time.Time // ours, when it was seen
}

// observe takes in a time that the server stamped a change with.
func (c *serverClock) observe(ctime time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.at.IsZero() || ctime.After(c.seen.Add(now.Sub(c.at))) {
		c.seen, c.at = ctime, now
	}
}

// young reports whether a time of the server may be less than coarse ago, by either clock.
func (c *serverClock) young(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	server := c.seen.Add(now.Sub(c.at))
	return server.Sub(t) < coarse || now.Sub(t).Abs() < coarse
}

func timeOf(t ninep.Timespec) time.Time { return time.Unix(int64(t.Sec), int64(t.Nsec)) }
