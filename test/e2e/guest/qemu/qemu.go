// Package qemu runs a virtual machine of a lab: a kernel, an initramfs, a directory shared by virtio-9p, and a virtio
// console whose ports the program inside answers on.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
)

// Accelerator is how the guest's processors are had.
type Accelerator string

// The accelerators.
const (
	KVM Accelerator = "kvm" // the machine's own
	TCG Accelerator = "tcg" // emulated, ten times slower and more
)

// Config says what a machine is.
type Config struct {
	Accelerator Accelerator
	IOMMU       bool   // the virtio-9p devices of [Tags] are behind one
	Kernel      string // "": only the firmware runs
	Initramfs   string
	Share       string // directory that is shared under each of [Tags] and [KernelTags]
	Console     string // file that the console is written to
	Output      string // file that the output of programs is written to
	Virtiofsd   string // socket of a virtiofsd that serves the same directory under [VirtiofsTag]; "" for none
}

// The names by which the guest knows what is shared. A device has one client at a time, so there are several with the same
// directory.
var (
	Tags       = tags("share", 10) // for the driver, and as many sessions as a rule of conformance has at once
	KernelTags = tags("kernel", 3) // for the kernel's client, never behind an IOMMU, which would slow it down
)

func tags(name string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", name, i)
	}
	return all
}

// VirtiofsTag is the name of the directory as virtiofs has it.
const VirtiofsTag = "vfs0"

// Memory is how much a guest has, in bytes; its initramfs lies in it.
const Memory = 2 << 30

// hugePages of 2 MiB each are for a driver without an IOMMU.
const hugePages = "96"

// program is QEMU's.
const program = "qemu-system-x86_64"

// arguments returns the command line. The ports of the virtio console are connections that QEMU inherits.
func (c Config) arguments(orders, host int) []string {
	const device = "virtio-9p-pci,fsdev=share,mount_tag="
	memory := strconv.Itoa(Memory>>20) + "M"
	accelerator, ours, kernel := "tcg,thread=multi", device, "hugepages="+hugePages
	args := []string{"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none", "-cpu", "max", "-smp", "2", "-m", memory}
	if c.Accelerator == KVM {
		accelerator = "kvm"
	}
	if c.IOMMU {
		args = append(args, "-device", "intel-iommu,intremap=off")
		ours = "virtio-9p-pci,iommu_platform=on,disable-legacy=on,fsdev=share,mount_tag="
		kernel = "intel_iommu=on"
	}
	args = append(args,
		"-accel", accelerator,
		"-machine", "q35,memory-backend=memory",
		"-object", "memory-backend-memfd,id=memory,size="+memory+",share=on",
		"-chardev", "file,id=console,path="+c.Console, "-serial", "chardev:console",
		"-device", "virtio-serial-pci",
		"-chardev", fmt.Sprintf("socket,id=orders,fd=%d", orders), "-device", "virtserialport,chardev=orders,name="+order.Orders,
		"-chardev", fmt.Sprintf("socket,id=host,fd=%d", host), "-device", "virtserialport,chardev=host,name="+order.Host,
		"-chardev", "file,id=output,path="+c.Output, "-device", "virtserialport,chardev=output,name="+order.Output,
		"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=",
		"-fsdev", "local,id=share,security_model=none,multidevs=remap,path="+c.Share,
	)
	if c.Kernel != "" {
		args = append(args, "-kernel", c.Kernel, "-initrd", c.Initramfs, "-append", "console=ttyS0 panic=-1 quiet "+kernel)
	}
	for _, tag := range Tags {
		args = append(args, "-device", ours+tag)
	}
	for _, tag := range KernelTags {
		args = append(args, "-device", device+tag)
	}
	if c.Virtiofsd != "" {
		args = append(args, "-chardev", "socket,id=virtiofs,path="+c.Virtiofsd, "-device", "vhost-user-fs-pci,chardev=virtiofs,tag="+VirtiofsTag)
	}
	return args
}

// Machine is one that runs.
type Machine struct {
	Orders, Host net.Conn // the host's ends of the ports

	cmd    *exec.Cmd
	stderr strings.Builder
	ended  chan struct{} // closed when QEMU has
	err    error         // why it ended
}

// Start starts a machine, which runs until [Machine.Stop], until the guest ends, or until this process does.
func Start(c Config) (*Machine, error) {
	m := &Machine{ended: make(chan struct{})}
	var files []*os.File // inherited, as descriptors 3 and 4
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, end := range []*net.Conn{&m.Orders, &m.Host} {
		conn, f, err := pair()
		if err != nil {
			m.hangUp()
			return nil, err
		}
		*end, files = conn, append(files, f)
	}
	m.cmd = exec.Command(program, c.arguments(3, 4)...)
	m.cmd.ExtraFiles, m.cmd.Stderr = files, &m.stderr
	m.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		m.hangUp()
		return nil, err
	}
	go func() {
		m.err = m.cmd.Wait()
		close(m.ended)
	}()
	return m, nil
}

// pair returns the two ends of a connection.
func pair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "port"), os.NewFile(uintptr(fds[1]), "port")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// Ended is closed when the machine runs no longer.
func (m *Machine) Ended() <-chan struct{} { return m.ended }

// Err says why the machine ended by itself, once it has.
func (m *Machine) Err() error {
	if message := strings.TrimSpace(m.stderr.String()); message != "" {
		return errors.Join(fmt.Errorf("QEMU ended: %s", message), m.err)
	}
	return errors.Join(errors.New("QEMU ended"), m.err)
}

// Wait waits until the machine has ended by itself.
func (m *Machine) Wait(ctx context.Context) error {
	select {
	case <-m.ended:
		return m.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends the machine, as if its power were cut, and returns when it is gone.
func (m *Machine) Stop() error {
	m.hangUp()
	if err := m.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-m.ended:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("QEMU, process %d, does not end", m.cmd.Process.Pid)
	}
}

func (m *Machine) hangUp() {
	for _, conn := range []net.Conn{m.Orders, m.Host} {
		if conn != nil {
			conn.Close()
		}
	}
}
