package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
	"github.com/csi-9p/csi-9p/test/e2e/guest/qemu"
	"github.com/csi-9p/csi-9p/test/e2e/guest/ratio"
)

// The systems that are compared, by their names in the table.
const (
	closeToOpen = "close-to-open"
	loose       = "loose"
	none        = "none"
	noneCopied  = "none, zeroCopy off"
	v9fsNone    = "v9fs none"
	v9fsMmap    = "v9fs mmap"
	v9fsLoose   = "v9fs loose"
	virtiofs    = "virtiofs"
)

// volumes are the parameters of ours.
var volumes = []struct {
	name       string
	parameters map[string]string
}{
	{closeToOpen, map[string]string{"cache": "close-to-open"}},
	{loose, map[string]string{"cache": "loose"}},
	{none, map[string]string{"cache": "none"}},
	{noneCopied, map[string]string{"cache": "none", "zeroCopy": "off"}},
}

// others are the mounts of the kernel's clients.
var others = []struct{ name, kind, tag, options string }{
	{v9fsNone, "9p", qemu.KernelTags[0], v9fsOptions + "none"},
	{v9fsMmap, "9p", qemu.KernelTags[1], v9fsOptions + "mmap"},
	{v9fsLoose, "9p", qemu.KernelTags[2], v9fsOptions + "loose"},
	{virtiofs, "virtiofs", qemu.VirtiofsTag, ""},
}

const v9fsOptions = "trans=virtio,version=9p2000.L,msize=512000,cache="

// bench has our mounts of the share and the kernel's do the same work in turns. The table is left for the lab.
func bench(ctx context.Context, args []string) error {
	return withDriver(ctx, args, func(r *rig) error { return sideBySide(ctx, r) })
}

func sideBySide(ctx context.Context, r *rig) (err error) {
	dirs := map[string]string{} // of each system, empty at first
	ours, err := mountOurs(ctx, r, dirs)
	defer func() {
		for _, v := range ours {
			err = errors.Join(err, v.unstage(ctx), v.remove(ctx))
		}
	}()
	if err != nil {
		return r.logs(err)
	}
	defer func() { err = errors.Join(err, unmountOthers()) }()
	if err := mountOthers(dirs); err != nil {
		return err
	}
	table, err := measure(dirs)
	if err != nil {
		return r.logs(err)
	}
	b, err := json.Marshal(table)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(order.ResultsDir, "bench.json"), b, 0o644),
		os.WriteFile(filepath.Join(order.ResultsDir, order.TableFile), []byte(table.Markdown()), 0o644),
	)
}

func mountOurs(ctx context.Context, r *rig, dirs map[string]string) ([]*volume, error) {
	var mounted []*volume
	for i, one := range volumes {
		v, err := r.create(ctx, volumeName(i), one.parameters)
		if err != nil {
			return mounted, err
		}
		mounted = append(mounted, v)
		if err := v.stage(ctx); err != nil {
			return mounted, err
		}
		dirs[one.name] = v.target()
	}
	return mounted, nil
}

// otherDir is where one of the kernel's clients is mounted.
func otherDir(tag string) string { return "/run/" + tag }

func mountOthers(dirs map[string]string) error {
	for _, one := range others {
		target := otherDir(one.tag)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(one.tag, target, one.kind, 0, one.options); err != nil {
			return fmt.Errorf("mounting %s: %w", one.name, err)
		}
		dirs[one.name] = filepath.Join(target, one.tag)
		if err := os.Mkdir(dirs[one.name], 0o755); err != nil {
			return err
		}
	}
	return nil
}

func unmountOthers() error {
	var errs []error
	for _, one := range others {
		target := otherDir(one.tag)
		if mounts()[target] {
			errs = append(errs, os.RemoveAll(filepath.Join(target, one.tag)), unix.Unmount(target, 0))
		}
	}
	return errors.Join(errs...)
}

// rounds is how often everything is done.
const rounds = 5

// measure does all the work, in each round everywhere before the next piece of work, and in each round by another system
// first.
func measure(dirs map[string]string) (*ratio.Table, error) {
	table := &ratio.Table{About: about(), Goals: goals}
	for _, one := range volumes {
		table.Systems = append(table.Systems, one.name)
	}
	for _, one := range others {
		table.Systems = append(table.Systems, one.name)
	}
	if err := prepareAll(); err != nil {
		return nil, err
	}
	for _, w := range works {
		table.Rows = append(table.Rows, ratio.Row{Work: w.name, Unit: w.unit, Rates: map[string][]float64{}})
	}
	for round := range rounds {
		for i, w := range works {
			for turn := range w.systems {
				name := w.systems[(turn+round)%len(w.systems)]
				rate, err := w.rate(dirs[name])
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", w.name, name, err)
				}
				rates := table.Rows[i].Rates
				rates[name] = append(rates[name], rate)
				fmt.Printf("round %d, %s, %s: %.1f %s\n", round, w.name, name, rate, w.unit)
			}
		}
	}
	return table, nil
}

// prepareAll makes the files of all systems by way of one that has the whole share, before any other has seen them.
func prepareAll() error {
	root := otherDir(others[0].tag)
	for i := range volumes {
		if err := prepareWork(filepath.Join(root, volumeName(i))); err != nil {
			return err
		}
	}
	for _, one := range others {
		if err := prepareWork(filepath.Join(root, one.tag)); err != nil {
			return err
		}
	}
	return nil
}

// volumeName is the name of the directory of one of our volumes on the share.
func volumeName(i int) string { return fmt.Sprintf("pvc-%d", i) }

// about says where this is measured.
func about() string {
	h := hello(nil)
	where := "no vIOMMU"
	if h.IOMMU {
		where = "the driver's device behind a vIOMMU, the kernel's not"
	}
	return fmt.Sprintf("Linux %s in the guest, %s; medians of %d interleaved rounds.", h.Kernel, where, rounds)
}

// rate does the work once, with nothing of it in the guest's caches, and returns how much a second that was.
func (w work) rate(dir string) (float64, error) {
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return 0, err
	}
	started := time.Now()
	amount, err := w.do(dir)
	took := time.Since(started)
	if err == nil && w.after != nil {
		err = w.after(dir)
	}
	return amount / took.Seconds(), err
}
