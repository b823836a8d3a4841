package pci_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

const (
	first  = "0000:00:03.0"
	second = "0000:00:04.0"
)

func TestListHasEveryVirtio9PDevice(t *testing.T) {
	m := newMachine(t)
	m.device(second, "logs")
	m.device(first, "share0")
	m.file("0x1af4\n", "sys/bus/pci/devices/0000:00:05.0/vendor") // a network device
	m.file("0x1041\n", "sys/bus/pci/devices/0000:00:05.0/device")
	all, err := pci.List(m.options())
	if err != nil || len(all) != 2 {
		t.Fatalf("%d devices: %v", len(all), err)
	}
	if f := all[0]; f.Address != first || f.Tag != "share0" || f.TagErr != nil || f.Driver != "virtio-pci" || f.Group != "" || f.Legacy || f.InUse != nil {
		t.Errorf("the first is %+v", f)
	}
	if len(m.written) != 0 {
		t.Errorf("looking has written %q", m.written)
	}
}

func TestNoPCIHasNoDevice(t *testing.T) {
	if all, err := pci.List(pci.Options{}.In(t.TempDir(), nil, nil)); len(all) != 0 || err != nil {
		t.Errorf("%v: %v", all, err)
	}
}

func TestFindTellsWhatThereIs(t *testing.T) {
	m := newMachine(t)
	_, err := pci.Find("share0", m.options())
	if !errors.Is(err, pci.ErrNotFound) || !strings.Contains(err.Error(), "no virtio-9p device at all") {
		t.Errorf("without a device: %v", err)
	}
	m.device(first, "share0")
	m.device(second, "logs")
	if f, err := pci.Find("logs", m.options()); err != nil || f.Address != second {
		t.Errorf("found %+v: %v", f, err)
	}
	_, err = pci.Find("data", m.options())
	if !errors.Is(err, pci.ErrNotFound) || !strings.Contains(err.Error(), `"share0" (`+first+`), "logs" (`+second+`)`) {
		t.Errorf("of another tag: %v", err)
	}
}

func TestTwoDevicesWithOneTagAreNamed(t *testing.T) {
	m := newMachine(t)
	m.device(first, "share0")
	m.device(second, "share0")
	_, err := pci.Find("share0", m.options())
	if err == nil || !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), second) {
		t.Errorf("the error is %v", err)
	}
}

func TestLegacyDeviceIsRefused(t *testing.T) {
	m := newMachine(t)
	m.device(first, "share0")
	s := newSpace()
	s[6] = 0 // no capability list
	m.file(string(s), "sys/bus/pci/devices", first, "config")
	_, err := pci.Find("share0", m.options())
	if err == nil || !strings.Contains(err.Error(), "disable-modern=off") {
		t.Errorf("the error is %v", err)
	}
}

// TestTagThatCannotBeRead has a device that no kernel client holds and whose config space is closed.
func TestTagThatCannotBeRead(t *testing.T) {
	m := newMachine(t)
	m.device(first, "share0")
	if err := os.RemoveAll(m.path("sys/bus/pci/devices", first, "virtio0")); err != nil {
		t.Fatal(err)
	}
	m.file(string(newSpace()[:64]), "sys/bus/pci/devices", first, "config")
	_, err := pci.Find("share0", m.options())
	if !errors.Is(err, pci.ErrNotFound) || !strings.Contains(err.Error(), first+", whose tag can't be read") {
		t.Errorf("the error is %v", err)
	}
}

const kernelMount = "36 25 0:31 / /mnt rw,relatime - 9p share0 rw,access=client,trans=virtio"

func TestKernelMountIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		self, one []string
		refcnt    string
		want      string
	}{
		"free":                          {refcnt: "0"},
		"mounted here":                  {self: []string{kernelMount}, refcnt: "1", want: "mounted on /mnt"},
		"mounted on the host":           {one: []string{kernelMount}, refcnt: "1", want: "mounted on /mnt"},
		"another tag":                   {self: []string{strings.Replace(kernelMount, "share0", "logs", 1)}, refcnt: "1"},
		"another tag, bound twice":      {self: []string{strings.Replace(kernelMount, "share0", "logs", 1)}, one: []string{strings.Replace(kernelMount, "share0", "logs", 1)}, refcnt: "1"},
		"the name, by TCP":              {self: []string{strings.Replace(kernelMount, "virtio", "tcp", 1)}, refcnt: "0"},
		"a mount that can't be seen":    {refcnt: "1", want: "0 can be seen"},
		"one of two that can't be seen": {self: []string{strings.Replace(kernelMount, "share0", "logs", 1)}, refcnt: "2", want: "1 can be seen"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.device(first, "share0")
			m.mounts("self", c.self...)
			m.mounts("1", c.one...)
			m.file(c.refcnt+"\n", "sys/module/9pnet_virtio/refcnt")
			f, err := pci.Find("share0", m.options())
			switch {
			case err != nil:
				t.Fatal(err)
			case c.want == "" && f.InUse != nil:
				t.Errorf("in use: %v", f.InUse)
			case c.want != "" && (!errors.Is(f.InUse, pci.ErrInUse) || !strings.Contains(f.InUse.Error(), c.want)):
				t.Errorf("in use: %v, want it to say %q", f.InUse, c.want)
			}
			if c.want == "" {
				return
			}
			if _, err := pci.Open(t.Context(), "share0", m.options()); !errors.Is(err, pci.ErrInUse) {
				t.Errorf("Open: %v", err)
			}
			if len(m.written) != 0 {
				t.Errorf("written: %q", m.written)
			}
		})
	}
}
