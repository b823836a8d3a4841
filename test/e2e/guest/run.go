package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/guest/kernel"
	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
	"github.com/csi-9p/csi-9p/test/e2e/guest/qemu"
	"github.com/csi-9p/csi-9p/test/e2e/report"
)

// Lab runs guests.
type Lab struct {
	*Artifacts
	Report  *report.Report
	Reports string         // directory of the report
	Dir     string         // of what is needed while the lab runs, which the caller removes
	Cache   string         // of the lab
	Run     *regexp.Regexp // the steps whose "guest/step" matches
	Page    string         // file whose place for measurements is filled; "": none
	Exec    []string       // a program of this machine and its arguments, to run in each guest instead of the steps

	quiet sync.RWMutex // held for writing by who measures, for reading by whatever else makes a guest work
}

// bootPatience is how long a guest may take to come up, on a machine that is busy with other things too.
const bootPatience = 4 * time.Minute

// execName is that of the program of [Lab.Exec] in the guest.
const execName = "exec"

// plan is a guest and what it is to show.
type plan struct {
	guestKind
	name   string
	kernel *kernel.Kernel
	steps  []step
	tables []string // that it measured
}

// Prove boots a guest of each kind and runs the steps in it, in several guests at a time.
func (l *Lab) Prove(ctx context.Context) error {
	if len(l.Exec) > 0 {
		l.Bin[execName] = l.Exec[0]
	}
	plans := l.plan()
	if len(plans) == 0 {
		return fmt.Errorf("no step has a name that matches %q; they are named %s/%s", l.Run, nameOf(l.Kernels[0], guestKind{iommu: true}), steps[0].name)
	}
	accelerator, err := l.accelerator(ctx)
	if err != nil {
		return err
	}
	if accelerator == qemu.TCG {
		l.Report.Note("QEMU emulates the guest's processors (TCG): no time or speed below is that of a real guest")
	} else {
		l.Report.Note("the guest's processors are real (KVM)")
	}
	atOnce, err := guestsAtOnce()
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for _, p := range plans {
		room <- struct{}{}
		all.Go(func() {
			l.guest(ctx, p, accelerator)
			<-room
		})
	}
	all.Wait()
	return l.fillPage(plans, accelerator)
}

// plan returns the guests that are asked for.
func (l *Lab) plan() []*plan {
	var plans []*plan
	for i, k := range l.Kernels {
		for _, iommu := range []bool{true, false} {
			kind := guestKind{newest: i == len(l.Kernels)-1, iommu: iommu}
			p := &plan{guestKind: kind, name: nameOf(k, kind), kernel: k}
			if p.steps = l.choose(p.name, kind); len(p.steps) > 0 {
				plans = append(plans, p)
			}
		}
	}
	return plans
}

// guestsAtOnce is how many guests this machine has processors and memory for. A guest waits often enough, and spins on an idle
// processor meanwhile, that four on two processors do half as much again as two.
func guestsAtOnce() (int, error) {
	const needed = qemu.Memory + 512<<20 // with QEMU's own, and that of what is beside it
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "MemAvailable:")
	var free int // KiB
	if _, err := fmt.Sscan(rest, &free); err != nil {
		return 0, fmt.Errorf("the memory that is available, in /proc/meminfo: %w", err)
	}
	return max(1, min(2*runtime.NumCPU(), free<<10/needed)), nil
}

// fillPage has the page tell what was measured.
func (l *Lab) fillPage(plans []*plan, accelerator qemu.Accelerator) error {
	var tables []string
	for _, p := range plans {
		tables = append(tables, p.tables...)
	}
	if l.Page == "" || len(tables) == 0 {
		return nil
	}
	how := "The processors were real (KVM)."
	if accelerator == qemu.TCG {
		how = "The processors were emulated (TCG), which slows the guest and not QEMU's server: figures to notice a regression by, no claims."
	}
	return fillPage(l.Page, how+" "+strings.Join(tables, "\n"))
}

// nameOf is the name of a guest: its kernel and what its device is driven through.
func nameOf(k *kernel.Kernel, kind guestKind) string {
	if kind.iommu {
		return k.Series() + "-vfio"
	}
	return k.Series() + "-uio"
}

// choose returns the steps of a guest that are asked for.
func (l *Lab) choose(suite string, kind guestKind) []step {
	all := steps
	if len(l.Exec) > 0 {
		call := append([]string{"/bin/" + execName}, l.Exec[1:]...)
		all = []step{{name: execName, alone: true, args: func(site) []string { return call }, timeout: 10 * time.Minute}}
	}
	var chosen []step
	for _, s := range all {
		if (s.on == nil || s.on(kind)) && l.Run.MatchString(suite+"/"+s.name) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// guest boots one guest, runs the steps and ends it.
func (l *Lab) guest(ctx context.Context, p *plan, accelerator qemu.Accelerator) {
	m, err := l.start(ctx, p, accelerator)
	for _, s := range p.steps {
		one := report.Case{Suite: p.name, Name: s.name, About: s.about}
		if err != nil {
			one.Outcome, one.Reason = report.Failed, "the guest is gone"
			l.Report.Add(one)
			continue
		}
		err = l.step(ctx, p, m, s, one)
	}
	if m != nil {
		started := time.Now()
		l.Report.Add(report.Case{Suite: p.name, Name: "end", About: "the guest ends in order"}.End(started, errors.Join(err, m.end())))
	}
}

// start boots a guest and reports that.
func (l *Lab) start(ctx context.Context, p *plan, accelerator qemu.Accelerator) (*machine, error) {
	l.quiet.RLock()
	defer l.quiet.RUnlock()
	started := time.Now()
	m, err := l.boot(ctx, p.name, p.kernel, qemu.Config{Accelerator: accelerator, IOMMU: p.iommu}, bootPatience)
	about := ""
	if err == nil {
		about = fmt.Sprintf("Linux %s on %s, %s", m.Kernel, strings.ToUpper(string(accelerator)), map[bool]string{true: "devices behind a vIOMMU", false: "no vIOMMU"}[m.IOMMU])
	}
	l.Report.Add(report.Case{Suite: p.name, Name: "boot", About: about}.End(started, err))
	return m, err
}

// boot makes what a guest needs and starts it.
func (l *Lab) boot(ctx context.Context, name string, k *kernel.Kernel, c qemu.Config, patience time.Duration) (*machine, error) {
	dir := filepath.Join(l.Dir, name)
	c.Share, c.Initramfs = filepath.Join(dir, "share"), filepath.Join(dir, "initramfs")
	c.Kernel, c.Console = k.Image, filepath.Join(l.Reports, name+"-console.txt")
	c.Output = filepath.Join(l.Reports, name+"-output.txt")
	if err := os.MkdirAll(c.Share, 0o755); err != nil {
		return nil, err
	}
	if err := l.writeInitramfs(c.Initramfs, k); err != nil {
		return nil, err
	}
	beside, err := startServices(ctx, l.Bin["csi-9p"], c.Share, dir, filepath.Join(l.Reports, name))
	if err != nil {
		return nil, err
	}
	c.Virtiofsd = beside.virtiofsd
	m, err := boot(ctx, c, patience)
	if err != nil {
		return nil, errors.Join(err, beside.stop())
	}
	m.services = beside
	return m, nil
}

// step runs one step and reports it. It returns an error if the guest is lost.
func (l *Lab) step(ctx context.Context, p *plan, m *machine, s step, one report.Case) error {
	turn := l.quiet.RLocker()
	if s.alone {
		turn = &l.quiet
	}
	turn.Lock()
	defer turn.Unlock()
	started := time.Now()
	outcome, lost := m.run(ctx, s.order(site{guestKind: p.guestKind, exporter: m.services.exporter}))
	err := lost
	if lost == nil {
		err = verdict(outcome)
	}
	one.Output = outcome.Output
	if lost != nil {
		one.Output = m.output.rest()
	}
	m.output.skip()
	console := m.showConsole()
	if err != nil {
		err = errors.Join(err, console)
	} else if s.name == execName {
		l.Report.Progress("%s", outcome.Output)
	}
	l.Report.Add(one.End(started, errors.Join(err, l.save(one, outcome))))
	if table, ok := outcome.Results[order.TableFile]; ok && err == nil {
		l.Report.Progress("\n%s", table)
		p.tables = append(p.tables, table)
	}
	return lost
}

// verdict says whether a step that ended has shown what it is for.
func verdict(o order.Outcome) error {
	switch {
	case o.Error != "":
		return errors.New(o.Error)
	case strings.Contains(o.Output, "--- SKIP"):
		return errors.New("a test was skipped: nothing is, here")
	case strings.Contains(o.Output, "testing: warning: no tests to run"):
		return errors.New("there are no such tests")
	}
	return nil
}

// save keeps what a step printed and what it left.
func (l *Lab) save(c report.Case, o order.Outcome) error {
	dir := filepath.Join(l.Reports, c.Suite, c.Name)
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "output.txt"), []byte(o.Output), 0o644)
	}
	for name, content := range o.Results {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(content), 0o644))
	}
	return err
}
