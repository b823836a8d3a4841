package doctor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/csi-9p/csi-9p/doctor"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
	"golang.org/x/sys/unix"
)

// device is a device that the kernel's client holds.
var device = pci.Function{Address: "0000:00:05.0", Tag: "share0", Driver: "virtio-pci", Group: "3"}

// allFeatures are those of FUSE that the doctor knows.
const allFeatures = fuse.WritebackCache | fuse.ReaddirplusAuto | fuse.ExplicitInvalData | fuse.HasResend | fuse.AllowIDMap

// files is a root directory.
func files(content map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for path, text := range content {
		root[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

// wellEquipped is a machine that has everything.
func wellEquipped() map[string]string {
	return map[string]string{
		"proc/self/status":                                        "Name:\tcsi-9p\nCapEff:\t000001ffffffffff\n",
		"proc/self/uid_map":                                       "         0          0 4294967295\n",
		"proc/sys/fs/fuse/max_pages_limit":                        "256\n",
		"proc/filesystems":                                        "nodev\tsysfs\nnodev\tfuse\nnodev\t9p\n\text4\n",
		"proc/modules":                                            "",
		"lib/modules/6.18/modules.builtin":                        "kernel/drivers/vfio/pci/vfio-pci.ko\nkernel/net/vmw_vsock/vmw_vsock_virtio_transport.ko\n",
		"lib/modules/6.18/modules.dep":                            "kernel/net/9p/9pnet_fd.ko.xz: kernel/net/9p/9pnet.ko.xz\n",
		"sys/module/9pnet_virtio/refcnt":                          "0",
		"sys/module/uio_pci_generic/x":                            "",
		"sys/devices/x":                                           "",
		"sys/kernel/iommu_groups/0/type":                          "DMA\n",
		"sys/kernel/iommu_groups/1/type":                          "DMA\n",
		"dev/vfio/vfio":                                           "",
		"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages":   "64\n",
		"sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "60\n",
		"proc/self/mountinfo":                                     "30 1 0:30 / /dev/hugepages rw - hugetlbfs none rw,pagesize=2M\n",
	}
}

func machine(content map[string]string) *doctor.Machine {
	return &doctor.Machine{
		Files: files(content), Release: "6.18",
		FUSE:    func() (fuse.Offer, error) { return fuse.Offer{Major: 7, Minor: 45, Flags: allFeatures}, nil },
		IOURing: func() error { return nil },
		VSock:   func() (uint32, error) { return 3, nil },
		Virtio:  func() ([]pci.Function, error) { return []pci.Function{device}, nil },
		Dial:    dial.Dial,
	}
}

// find returns the check of that name.
func find(t *testing.T, r doctor.Report, name string) doctor.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %q in %+v", name, r.Checks)
	return doctor.Check{}
}

// expect checks a check's status, and that it tells what a reader has to know.
func expect(t *testing.T, c doctor.Check, status doctor.Status, tells ...string) {
	t.Helper()
	if c.Status != status {
		t.Errorf("%s is %s, want %s (%s -> %s)", c.Name, c.Status, status, c.Found, c.Cure)
	}
	if status == doctor.Fail && c.Cure == "" {
		t.Errorf("%s fails without a cure: %s", c.Name, c.Found)
	}
	for _, text := range tells {
		if !strings.Contains(c.Found+" -> "+c.Cure, text) {
			t.Errorf("%s does not tell %q: %s -> %s", c.Name, text, c.Found, c.Cure)
		}
	}
}

func TestNothingIsMissing(t *testing.T) {
	r := doctor.Run(t.Context(), machine(wellEquipped()), doctor.Options{})
	if !r.Usable || len(r.Checks) < 12 {
		t.Errorf("usable %t, %d checks", r.Usable, len(r.Checks))
	}
	for _, c := range r.Checks {
		expect(t, c, doctor.OK)
	}
	expect(t, find(t, r, "virtio-9p devices"), doctor.OK, "share0 at 0000:00:05.0 (virtio-pci, IOMMU group 3)")
	expect(t, find(t, r, "device access"), doctor.OK, "vfio")
	expect(t, find(t, r, "vsock"), doctor.OK, "context id 3", "host of this guest")
	expect(t, find(t, r, "huge pages"), doctor.OK, "60 of 64")
}

// What a machine lacks, one thing at a time: change makes it, the check of that name tells it.
func TestWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		why, name string
		url       string
		change    func(m *doctor.Machine, content map[string]string)
		status    doctor.Status
		tells     []string
	}{
		{"no capability", "privilege", "", edit("proc/self/status", "CapEff:\t00000000a80425fb\n"), doctor.Fail, []string{"CAP_SYS_ADMIN", "root", "privileged"}},
		{"a user namespace", "privilege", "", edit("proc/self/uid_map", "         0          0          1\n"), doctor.Warn, []string{"user namespace", "hostUsers"}},
		{"a device in a user namespace", "privilege", "virtio://share0", edit("proc/self/uid_map", "         0          0          1\n"), doctor.Fail, []string{"user namespace", "machine's root"}},
		{"no /proc", "privilege", "", edit("proc/self/status", ""), doctor.Fail, []string{"no /proc", "mount -t proc"}},
		{"no module fuse", "FUSE", "", noFUSE(unix.ENOENT, "lib/modules/6.18/modules.dep", "kernel/fs/fuse/fuse.ko.zst:"), doctor.Fail, []string{"modprobe -a fuse"}},
		{"neither module nor device seen", "FUSE", "", emptyChroot, doctor.Fail, []string{"on the node: modprobe -a fuse", "device /dev/fuse"}},
		{"no device", "FUSE", "", noFUSE(unix.ENOENT, "sys/module/fuse/refcnt", "1"), doctor.Fail, []string{"/dev/fuse"}},
		{"no permission", "FUSE", "", noFUSE(unix.EPERM, "", ""), doctor.Fail, []string{"not permitted", "root"}},
		{"old FUSE", "FUSE", "", offer(fuse.Offer{Major: 7, Minor: 27}), doctor.Fail, []string{"7.27", "Linux 5.4"}},
		{"few features", "FUSE", "", offer(fuse.Offer{Major: 7, Minor: 38, Flags: allFeatures &^ fuse.AllowIDMap}), doctor.Warn, []string{"7.38", "hostUsers: false (Linux 6.12)"}},
		{"small requests", "FUSE request size", "", edit("proc/sys/fs/fuse/max_pages_limit", "32\n"), doctor.Warn, []string{"128 KiB", "sysctl fs.fuse.max_pages_limit=256"}},
		{"before Linux 6.13", "FUSE request size", "", edit("proc/sys/fs/fuse/max_pages_limit", ""), doctor.OK, []string{"1024 KiB"}},
		{"io_uring off", "FUSE over io_uring", "", ring("it is switched off: run 'echo Y'"), doctor.Warn, []string{"it is switched off -> run 'echo Y'"}},
		{"io_uring forbidden", "FUSE over io_uring", "", ring("io_uring_setup: operation not permitted: allow it"), doctor.Warn, []string{"operation not permitted -> allow it"}},
		{"cloud kernel", "kernel's 9p", "", cloudKernel, doctor.Warn, []string{"9p: absent", "embedded", "cloud kernels"}},
		{"module 9p not loaded", "kernel's 9p", "", edit("proc/filesystems", "", "lib/modules/6.18/modules.dep", "kernel/fs/9p/9p.ko:\n"), doctor.OK, []string{"9p: not loaded", "modprobe -a 9p"}},
		{"no /lib/modules", "kernel's 9p", "", edit("proc/filesystems", "", "lib/modules/6.18/modules.dep", "", "sys/module/9pnet_virtio/refcnt", ""), doctor.Warn, []string{"not seen", "on the node: modprobe"}},
		{"no vsock", "vsock", "", vsockFails(unix.ENOENT), doctor.Warn, []string{"no such file", "vhost-vsock-pci"}},
		{"no permission for vsock", "vsock", "", vsockFails(unix.EACCES), doctor.Warn, []string{"permission denied", "root"}},
		{"no /dev/vsock", "vsock", "", func(m *doctor.Machine, content map[string]string) {
			vsockFails(unix.ENOENT)(m, content)
			edit("sys/module/vsock/refcnt", "1")(m, content)
		}, doctor.Warn, []string{"container", "/dev/vsock"}},
		{"no vsock, asked for", "vsock", "vsock://2:564", vsockFails(unix.ENOENT), doctor.Fail, nil},
		{"no /sys", "virtio-9p devices", "", noSys, doctor.Warn, []string{"no /sys", "mount /sys"}},
		{"no virtio device", "virtio-9p devices", "", devices(), doctor.Warn, []string{"none", "virtio-9p-pci"}},
		{"no virtio device, asked for", "virtio-9p devices", "virtio://share0", devices(), doctor.Fail, nil},
		{"no such tag", "virtio-9p devices", "virtio://other", nil, doctor.Fail, []string{"share0", "mount tag other"}},
		{"tag not told", "virtio-9p devices", "", devices(pci.Function{TagErr: unix.EACCES}), doctor.OK, []string{"tag not known", "permission denied"}},
		{"tag not told, asked for", "virtio-9p devices", "virtio://share0", devices(pci.Function{Tag: "other"}, pci.Function{TagErr: unix.EACCES}), doctor.Fail, []string{"permission denied", "is not seen", "root"}},
		{"in use", "virtio-9p devices", "virtio://share0", devices(pci.Function{Tag: "share0", InUse: pci.ErrInUse}), doctor.Fail, []string{"one owner"}},
		{"legacy", "virtio-9p devices", "virtio://share0", devices(pci.Function{Tag: "share0", Legacy: true}), doctor.Fail, []string{"disable-legacy=on"}},
		{"no IOMMU", "IOMMU", "", noIOMMU, doctor.Warn, []string{"intel-iommu"}},
		{"no vfio device", "vfio", "", edit("dev/vfio/vfio", ""), doctor.Warn, []string{"/dev/vfio/vfio"}},
		{"no uio", "uio", "", edit("sys/module/uio_pci_generic/x", ""), doctor.Warn, []string{"uio_pci_generic is absent"}},
		{"few huge pages", "huge pages", "", edit("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "1\n"), doctor.Warn, []string{"1 of 64", "vm.nr_hugepages"}},
		{"uio alone", "device access", "virtio://share0", devices(pci.Function{Tag: "share0", InUse: pci.ErrInUse}), doctor.Fail, []string{"--allow-unsafe-dma"}},
		{"uio alone, not asked for", "device access", "", noIOMMU, doctor.Warn, []string{"--allow-unsafe-dma"}},
		{"no way", "device access", "", noWay, doctor.Warn, []string{"neither", "IOMMU"}},
	} {
		t.Run(test.why, func(t *testing.T) {
			content := wellEquipped()
			m := machine(content)
			if test.change != nil {
				test.change(m, content)
			}
			m.Files = files(content)
			r := doctor.Run(t.Context(), m, options(t, test.url))
			expect(t, find(t, r, test.name), test.status, test.tells...)
			if test.status == doctor.Fail && r.Usable {
				t.Error("the report calls it usable")
			}
			if test.url == "" && test.status != doctor.Fail && !r.Usable {
				t.Error("the report calls it unusable")
			}
		})
	}
}

// options are those of a URL, whose server nobody asks for if the machine fails.
func options(t *testing.T, url string) doctor.Options {
	t.Helper()
	if url == "" {
		return doctor.Options{}
	}
	u, err := dial.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return doctor.Options{URL: &u}
}

// edit replaces files, and removes those whose content is empty.
func edit(pairs ...string) func(*doctor.Machine, map[string]string) {
	return func(_ *doctor.Machine, content map[string]string) {
		for i := 0; i < len(pairs); i += 2 {
			if delete(content, pairs[i]); pairs[i+1] != "" {
				content[pairs[i]] = pairs[i+1]
			}
		}
	}
}

func noFUSE(errno unix.Errno, path, text string) func(*doctor.Machine, map[string]string) {
	return func(m *doctor.Machine, content map[string]string) {
		m.FUSE = func() (fuse.Offer, error) {
			return fuse.Offer{}, &fs.PathError{Op: "open", Path: "/dev/fuse", Err: errno}
		}
		edit("proc/filesystems", "")(m, content)
		if path != "" {
			content[path] = text
		}
	}
}

func offer(o fuse.Offer) func(*doctor.Machine, map[string]string) {
	return func(m *doctor.Machine, _ map[string]string) { m.FUSE = func() (fuse.Offer, error) { return o, nil } }
}

func ring(text string) func(*doctor.Machine, map[string]string) {
	return func(m *doctor.Machine, _ map[string]string) {
		m.IOURing = func() error { return fmt.Errorf("%w: %w", fuse.ErrNoIOURing, errors.New(text)) }
	}
}

func cloudKernel(m *doctor.Machine, content map[string]string) {
	edit("proc/filesystems", "nodev\tfuse\n", "sys/module/9pnet_virtio/refcnt", "", "lib/modules/6.18/modules.dep", "kernel/fs/nfs/nfs.ko:\n")(m, content)
}

func vsockFails(errno unix.Errno) func(*doctor.Machine, map[string]string) {
	return func(m *doctor.Machine, _ map[string]string) {
		m.VSock = func() (uint32, error) { return 0, &fs.PathError{Op: "open", Path: "/dev/vsock", Err: errno} }
	}
}

func devices(found ...pci.Function) func(*doctor.Machine, map[string]string) {
	return func(m *doctor.Machine, _ map[string]string) {
		m.Virtio = func() ([]pci.Function, error) { return found, nil }
	}
}

// emptyChroot has the program and nothing else.
func emptyChroot(m *doctor.Machine, content map[string]string) {
	noFUSE(unix.ENOENT, "", "")(m, content)
	vsockFails(unix.ENOENT)(m, content)
	devices()(m, content)
	clear(content)
}

func noSys(m *doctor.Machine, content map[string]string) {
	devices()(m, content)
	edit("sys/devices/x", "")(m, content)
}

func noIOMMU(m *doctor.Machine, content map[string]string) {
	edit("sys/kernel/iommu_groups/0/type", "", "sys/kernel/iommu_groups/1/type", "")(m, content)
}

func noWay(m *doctor.Machine, content map[string]string) {
	noIOMMU(m, content)
	edit("sys/module/uio_pci_generic/x", "")(m, content)
}

// What was allowed is no fault any more.
func TestUnsafeDMA(t *testing.T) {
	m := machine(wellEquipped())
	devices(pci.Function{Tag: "share0", InUse: pci.ErrInUse})(m, nil) // in use, so that nobody opens it
	o := options(t, "virtio://share0")
	o.AllowUnsafeDMA = true
	expect(t, find(t, doctor.Run(t.Context(), m, o), "device access"), doctor.Warn, "nothing bounds")
}

// Where nothing of the machine is seen, nothing is said to be missing from it.
func TestEmptyChroot(t *testing.T) {
	content := wellEquipped()
	m := machine(content)
	emptyChroot(m, content)
	m.Files = files(content)
	for _, c := range doctor.Run(t.Context(), m, doctor.Options{}).Checks {
		switch c.Name {
		case "IOMMU", "vfio", "uio", "huge pages", "device access":
			t.Errorf("%s: %s -> %s", c.Name, c.Found, c.Cure)
		}
		if strings.Contains(c.Found+c.Cure, "absent") || strings.Contains(c.Cure, "boot a kernel") {
			t.Errorf("%s: %s -> %s", c.Name, c.Found, c.Cure)
		}
	}
}

// A URL keeps out what only other transports need.
func TestWhatIsAskedFor(t *testing.T) {
	r := doctor.Run(t.Context(), machine(wellEquipped()), options(t, "unix:///nowhere/9p.sock"))
	for _, c := range r.Checks {
		for _, other := range []string{"virtio", "vsock", "IOMMU", "vfio", "uio", "huge"} {
			if strings.HasPrefix(c.Name, other) {
				t.Errorf("%s is told", c.Name)
			}
		}
	}
}

func TestText(t *testing.T) {
	r := doctor.Report{Checks: []doctor.Check{
		{Name: "FUSE", Status: doctor.OK, Found: "protocol 7.45"},
		{Name: "round trip", Status: doctor.Fail, Found: "two\nlines", Cure: "see the log"},
	}}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	want := "ok    FUSE        protocol 7.45\nfail  round trip  two lines  -> see the log\n"
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
}

func TestJSON(t *testing.T) {
	r := doctor.Run(t.Context(), machine(wellEquipped()), options(t, "unix:///nowhere/9p.sock"))
	var text strings.Builder
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var got doctor.Report
	if err := json.Unmarshal([]byte(text.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.URL != "unix:///nowhere/9p.sock" || got.Usable || len(got.Checks) != len(r.Checks) || got.Checks[0] != r.Checks[0] {
		t.Errorf("got %+v, want %+v", got, r)
	}
}
