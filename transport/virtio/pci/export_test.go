package pci

import "io"

// Layout and Bar are what ParseLayout works with.
type (
	Layout = layout
	Bar    = bar
)

// NewBar makes a BAR.
func NewBar(size uint64, io bool) Bar { return Bar{size: size, io: io} }

// ParseLayout is parseLayout.
func ParseLayout(config []byte, bars [6]Bar) (Layout, error) { return parseLayout(config, bars) }

// Fields tells where the structures are: bar, offset and length of common, notify, isr and device.
func (l layout) Fields() (structures [4][3]uint64, multiplier uint32, vectors int) {
	for i, s := range []span{l.common, l.notify, l.isr, l.device} {
		structures[i] = [3]uint64{uint64(s.bar), s.offset, s.length}
	}
	return structures, l.multiplier, l.vectors
}

// Doorbell is doorbell.
func (l layout) Doorbell(off uint16) (uint64, error) { return l.doorbell(off) }

// ReadTag is readTag.
func ReadTag(c interface {
	io.ReaderAt
	io.WriterAt
}, l Layout) (string, error) {
	return readTag(c, l)
}

// In has the options look at another machine, whose kernel is told what was written, and its device when it is to reset.
func (o Options) In(root string, wrote func(path, value string), reset func(address string)) Options {
	o.tree = tree{root: root, wrote: wrote, reset: reset}
	return o
}

// Ranges reads the ranges of an IOMMU's info, prefers those beyond first, and takes n addresses, several times over.
func Ranges(info []byte, chain uint32, first uint64, n ...uint64) (taken []uint64, err error) {
	s := parseRanges(capability(info, chain, vfioCapIOVARange)).from(first)
	for _, n := range n {
		at, err := s.take(n)
		if err != nil {
			return taken, err
		}
		taken = append(taken, at)
	}
	return taken, nil
}
