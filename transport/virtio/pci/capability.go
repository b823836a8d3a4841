package pci

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errLegacy is the error of a function without the modern interface.
var errLegacy = errors.New("the device has only the legacy virtio interface: give it disable-legacy=on,disable-modern=off (QEMU)")

// Types of virtio's vendor capabilities (virtio 1.2, 4.1.4).
const (
	capCommon = 1
	capNotify = 2
	capISR    = 3
	capDevice = 4
	capWindow = 5 // PCI configuration access
)

// The config space of a conventional PCI function, and what is looked at in it
// (PCI Local Bus 3.0, 6.1 and 6.7).
const (
	configSize       = 256
	commandOffset    = 0x04
	statusOffset     = 0x06
	statusCapList    = 1 << 4
	capListOffset    = 0x34
	firstCapability  = 0x40
	capIDVendor      = 0x09
	capIDMSIX        = 0x11
	commandMemory    = 1 << 1
	commandBusMaster = 1 << 2
	commandINTxOff   = 1 << 10
)

// Lengths of virtio's capabilities in bytes (4.1.4, struct virtio_pci_cap): all
// have the first at least, the long ones (notify, PCI configuration access) a
// field of 4 bytes behind it.
const (
	leastCapability = 16
	longCapability  = 20
)

// Least lengths of the structures, in bytes: what this driver uses of them.
const (
	commonLength = 56
	deviceLength = 3 // tag_len and one byte of tag
)

// bar is a base address register's region.
type bar struct {
	size uint64 // 0: there is none
	io   bool   // ports rather than memory
}

// span is a part of a BAR.
type span struct {
	bar            int
	offset, length uint64
}

// layout is where a function has virtio's structures.
type layout struct {
	common, notify, isr, device span
	multiplier                  uint32 // of queue_notify_off, in bytes
	window                      int    // offset of the configuration access capability in config space; 0: none
	vectors                     int    // of MSI-X; 0: none
}

// parseLayout reads the capability list of a config space. A capability that is
// not virtio's, or lies in a BAR that is no memory, is passed over as the
// specification says; one that contradicts itself or its BAR is an error. Of
// several of a type the first counts.
func parseLayout(config []byte, bars [6]bar) (layout, error) {
	var l layout
	if len(config) < configSize {
		return l, fmt.Errorf("config space has %d bytes of %d: reading all of it needs CAP_SYS_ADMIN", len(config), configSize)
	}
	if config[statusOffset]&statusCapList == 0 {
		return l, errLegacy
	}
	var seen [configSize]bool
	for at := int(config[capListOffset]) &^ 3; at != 0; at = int(config[at+1]) &^ 3 {
		if at < firstCapability || seen[at] {
			return l, fmt.Errorf("capability list: it leads to %#x, which is in the header or came before", at)
		}
		seen[at] = true
		if err := l.add(config, at, bars); err != nil {
			return l, fmt.Errorf("capability at %#x: %w", at, err)
		}
	}
	return l, l.check()
}

// add takes in the capability at an offset, if it is one of those looked for.
func (l *layout) add(config []byte, at int, bars [6]bar) error {
	switch config[at] {
	case capIDMSIX:
		if at+4 > len(config) {
			return errors.New("it runs out of the config space")
		}
		l.vectors = int(binary.LittleEndian.Uint16(config[at+2:])&0x7ff) + 1
		return nil
	case capIDVendor:
		return l.addVirtio(config, at, bars)
	}
	return nil
}

// structure is one that a capability tells the place of.
type structure struct {
	place         *span
	length, align uint64 // of the place, in bytes: at least, a multiple of
	capability    int    // length of the capability in bytes, at least
}

// structure returns the one of a type of capabilities; without a place for those
// that are not looked for.
func (l *layout) structure(kind byte) structure {
	switch kind {
	case capCommon:
		return structure{&l.common, commonLength, 4, leastCapability}
	case capNotify:
		return structure{&l.notify, 2, 2, longCapability}
	case capISR:
		return structure{&l.isr, 1, 1, leastCapability}
	case capDevice:
		return structure{&l.device, deviceLength, 4, leastCapability}
	}
	return structure{}
}

// addVirtio takes in one of virtio's capabilities.
func (l *layout) addVirtio(config []byte, at int, bars [6]bar) error {
	length := int(config[at+2])
	if length < leastCapability || at+length > len(config) {
		return fmt.Errorf("its length of %d bytes is too short or runs out of the config space", length)
	}
	kind, number := config[at+3], int(config[at+4])
	if kind == capWindow && length >= longCapability && l.window == 0 {
		l.window = at
	}
	t := l.structure(kind)
	if t.place == nil || t.place.length != 0 || number >= len(bars) || bars[number].size == 0 || bars[number].io {
		return nil
	}
	if length < t.capability {
		return fmt.Errorf("its length of %d bytes is less than %d", length, t.capability)
	}
	s := span{
		bar:    number,
		offset: uint64(binary.LittleEndian.Uint32(config[at+8:])),
		length: uint64(binary.LittleEndian.Uint32(config[at+12:])),
	}
	switch {
	case s.offset+s.length > bars[number].size:
		return fmt.Errorf("bytes %#x to %#x are not in BAR %d of %#x bytes", s.offset, s.offset+s.length, number, bars[number].size)
	case s.length < t.length || s.offset%t.align != 0:
		return fmt.Errorf("%d bytes at %#x: virtio's type %d has %d at least, at a multiple of %d", s.length, s.offset, kind, t.length, t.align)
	}
	if kind == capNotify {
		l.multiplier = binary.LittleEndian.Uint32(config[at+16:])
	}
	*t.place = s
	return nil
}

// check holds the structures against each other.
func (l *layout) check() error {
	structures := []span{l.common, l.notify, l.isr, l.device}
	if l.common.length == 0 {
		return errLegacy
	}
	for i, s := range structures {
		if s.length == 0 {
			return fmt.Errorf("virtio's structure of type %d is missing", i+1)
		}
		for j, o := range structures[:i] {
			if s.bar == o.bar && s.offset < o.offset+o.length && o.offset < s.offset+s.length {
				return fmt.Errorf("virtio's structures of the types %d and %d overlap in BAR %d", j+1, i+1, s.bar)
			}
		}
	}
	if m := l.multiplier; m&(m-1) != 0 || m == 1 {
		return fmt.Errorf("notify_off_multiplier of %d: it is 0 or an even power of two", m)
	}
	return nil
}

// doorbell returns where in the notify structure a queue's register is
// (4.1.4.4), given its queue_notify_off.
func (l *layout) doorbell(notifyOff uint16) (uint64, error) {
	at := uint64(notifyOff) * uint64(l.multiplier)
	if at+2 > l.notify.length {
		return 0, fmt.Errorf("queue_notify_off %d: its register at %#x is not in the notify structure of %#x bytes", notifyOff, at, l.notify.length)
	}
	return at, nil
}
