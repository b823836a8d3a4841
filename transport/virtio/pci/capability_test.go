package pci_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// memoryBARs has a memory BAR where the structures are, and ports in BAR 0.
func memoryBARs() [6]pci.Bar {
	return [6]pci.Bar{0: pci.NewBar(64, true), 1: pci.NewBar(0x1000, false), spaceBAR: pci.NewBar(spaceBARSize, false)}
}

func TestLayoutIsRead(t *testing.T) {
	l, err := pci.ParseLayout(newSpace(), memoryBARs())
	if err != nil {
		t.Fatal(err)
	}
	structures, multiplier, vectors := l.Fields()
	want := [4][3]uint64{{4, commonAt, structureSize}, {4, notifyAt, structureSize}, {4, isrAt, structureSize}, {4, deviceAt, structureSize}}
	if structures != want || multiplier != modernMultiply || vectors != 2 {
		t.Errorf("common, notify, isr, device at %v, multiplier %d, %d vectors", structures, multiplier, vectors)
	}
	if at, err := l.Doorbell(3); err != nil || at != 12 {
		t.Errorf("the doorbell of notify offset 3 is at %d: %v", at, err)
	}
	if _, err := l.Doorbell(0x400); err == nil {
		t.Error("a doorbell beyond the structure is taken")
	}
}

// TestLayoutPassesOver has what the specification says to ignore.
func TestLayoutPassesOver(t *testing.T) {
	for name, change := range map[string]func(space){
		"a structure in a reserved BAR before the good one": func(s space) {
			s.virtio(0xb0, capMSIX, 16, 1, 0)
			s[0xb0+4] = 6
			s[0x34] = 0xb0
		},
		"a structure among ports before the good one": func(s space) {
			s.virtio(0xb0, capMSIX, 16, 1, 0x10000)
			s[0xb0+4] = 0
			s[0x34] = 0xb0
		},
		"a second structure of a type": func(s space) {
			s.virtio(0xb0, 0, 16, 1, 0xffff0000)
			s[capCommon+1] = 0xb0
		},
		"a type of a later specification": func(s space) {
			s.virtio(0xb0, 0, 16, 8, 0xffff0000)
			s[capCommon+1] = 0xb0
		},
		"another's capability": func(s space) {
			s.capability(0xb0, 0, 1, 0, 0)
			s[capCommon+1] = 0xb0
		},
		"low bits of a pointer": func(s space) { s[0x34] |= 3 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpace()
			change(s)
			l, err := pci.ParseLayout(s, memoryBARs())
			if err != nil {
				t.Fatal(err)
			}
			if structures, _, _ := l.Fields(); structures[0] != [3]uint64{4, commonAt, structureSize} {
				t.Errorf("common at %v", structures[0])
			}
		})
	}
}

// TestHostileLayoutIsRefused has devices that would have the driver read and write elsewhere.
func TestHostileLayoutIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(space)
		want   string
	}{
		"a loop":                           {func(s space) { s[capCommon+1] = capMSIX }, "came before"},
		"a capability of itself":           {func(s space) { s[capMSIX+1] = capMSIX }, "came before"},
		"a pointer into the header":        {func(s space) { s[capMSIX+1] = 0x10 }, "in the header"},
		"beyond the BAR":                   {func(s space) { s.place(capCommon, spaceBARSize-8, structureSize) }, "are not in BAR 4"},
		"an end that overflows 32 bits":    {func(s space) { s.place(capCommon, 0xfffffffc, 0xfffffffc) }, "are not in BAR 4"},
		"too short for common":             {func(s space) { s.place(capCommon, commonAt, 55) }, "56 at least"},
		"no byte of isr":                   {func(s space) { s.place(capISR, isrAt, 0) }, "1 at least"},
		"common misaligned":                {func(s space) { s.place(capCommon, 2, 0x100) }, "at a multiple of 4"},
		"structures that overlap":          {func(s space) { s.place(capISR, commonAt+8, 4) }, "overlap in BAR 4"},
		"a multiplier that is no power":    {func(s space) { s[capNotify+16] = 6 }, "even power of two"},
		"an odd multiplier":                {func(s space) { s[capNotify+16] = 1 }, "even power of two"},
		"no notify":                        {func(s space) { s[capNotify+3] = 200 }, "type 2 is missing"},
		"a length under the minimum":       {func(s space) { s[capCommon+2] = 15 }, "too short"},
		"a notify without multiplier":      {func(s space) { s[capNotify+2] = 16 }, "less than 20"},
		"a capability beyond config space": {func(s space) { s[capCommon+1] = 0xfc; s.capability(0xfc, 0, 9, 16, 1) }, "runs out of the config space"},
		"no list":                          {func(s space) { s[6] = 0 }, "only the legacy virtio interface"},
		"no common":                        {func(s space) { s[capCommon+3] = 200 }, "only the legacy virtio interface"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpace()
			c.change(s)
			if _, err := pci.ParseLayout(s, memoryBARs()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want one that says %q", err, c.want)
			}
		})
	}
	if _, err := pci.ParseLayout(newSpace()[:64], memoryBARs()); err == nil || !strings.Contains(err.Error(), "CAP_SYS_ADMIN") {
		t.Errorf("of a config space that was not read whole: %v", err)
	}
}

func TestTagIsReadThroughConfigSpace(t *testing.T) {
	s := newSpace()
	l, err := pci.ParseLayout(s, memoryBARs())
	if err != nil {
		t.Fatal(err)
	}
	w := windowed{space: s, bar: make([]byte, spaceBARSize)}
	for _, c := range []struct {
		length uint16
		want   string
		fails  bool
	}{{6, "share0", false}, {0, "", true}, {0xffff, "", true}, {1025, "", true}} {
		binary.LittleEndian.PutUint16(w.bar[deviceAt:], c.length)
		copy(w.bar[deviceAt+2:], "share0")
		if tag, err := pci.ReadTag(w, l); tag != c.want || (err != nil) != c.fails {
			t.Errorf("a tag of length %d is %q: %v", c.length, tag, err)
		}
	}
}

// FuzzLayout has config spaces that nobody vouches for: whatever is accepted lies within its BAR.
func FuzzLayout(f *testing.F) {
	f.Add([]byte(newSpace()), uint32(spaceBARSize))
	loop := newSpace()
	loop[capCommon+1] = capISR
	f.Add([]byte(loop), uint32(spaceBARSize))
	f.Add([]byte(newSpace()), uint32(0x100))
	f.Fuzz(func(t *testing.T, config []byte, size uint32) {
		bars := [6]pci.Bar{0: pci.NewBar(64, true), 2: pci.NewBar(uint64(size), false), spaceBAR: pci.NewBar(uint64(size), false)}
		l, err := pci.ParseLayout(config, bars)
		if err != nil {
			return
		}
		structures, multiplier, _ := l.Fields()
		for i, s := range structures {
			if s[0] != 2 && s[0] != spaceBAR || s[2] == 0 || s[1]+s[2] > uint64(size) {
				t.Errorf("structure %d: %v of a BAR of %d bytes", i, s, size)
			}
		}
		if at, err := l.Doorbell(0xffff); err == nil && (at+2 > structures[1][2] || at != 0xffff*uint64(multiplier)) {
			t.Errorf("a doorbell at %#x of %#x bytes", at, structures[1][2])
		}
	})
}

func TestIOAddressesKeepToWhatTheIOMMUTranslates(t *testing.T) {
	// As intel-iommu has them: a hole for interrupts below 4 GiB.
	info := make([]byte, 24+8+8+32)
	binary.NativeEndian.PutUint16(info[24:], 1)
	binary.NativeEndian.PutUint32(info[32:], 2)
	for i, v := range []uint64{0, 0xfedfffff, 0xfef00000, 0x1_00ff_ffff} {
		binary.NativeEndian.PutUint64(info[40+8*i:], v)
	}
	taken, err := pci.Ranges(info, 24, 4<<30, 8<<20, 8<<20, 2<<20)
	if want := []uint64{4 << 30, 4<<30 + 8<<20, 2 << 20}; err != nil || len(taken) != 3 || [3]uint64(taken) != [3]uint64(want) {
		t.Errorf("taken %#x: %v", taken, err)
	}
	if _, err := pci.Ranges(info, 24, 4<<30, 1<<40); err == nil {
		t.Error("a TiB was found where there is none")
	}
	binary.NativeEndian.PutUint32(info[32:], 0xffffffff) // more ranges than bytes
	if taken, err := pci.Ranges(info, 24, 4<<30, 8<<20); err != nil || taken[0] != 4<<30 {
		t.Errorf("taken %#x: %v", taken, err)
	}
}
