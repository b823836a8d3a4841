// Package suite runs proofs, one after another, against a cluster of the lab.
package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/cluster"
	"github.com/csi-9p/csi-9p/test/e2e/report"
)

// defaultTimeout is that of a proof that names none.
const defaultTimeout = 5 * time.Minute

// cleanupTimeout is how long a proof's namespace may take to go, its pods and volumes included.
const cleanupTimeout = 3 * time.Minute

// Proof is a scenario that shows one thing.
type Proof struct {
	Suite   string        // that it belongs to: "smoke", "proofs", "external"
	Name    string        // unique within its suite, "rwx-two-nodes"
	About   string        // what it shows, in a line
	Timeout time.Duration // 0: 5 minutes
	Run     func(t *T)
}

// T is what a proof runs with. It is used like a testing.T: its Fatal and Skip end the goroutine, so they are called from
// that of Run only; all other methods may be called from any.
type T struct {
	Cluster   *cluster.Cluster
	Namespace string // of Kubernetes, made for this proof, and deleted after it with all that is in it

	proof   Proof
	report  *report.Report
	reports string

	mu       sync.Mutex
	ctx      context.Context
	outcome  report.Outcome
	reasons  []string
	log      strings.Builder
	started  time.Time
	cleanups []func()
}

// Run runs the proof and adds its outcome to the report. When it fails, what the cluster knows is collected before
// anything of it is deleted.
func Run(ctx context.Context, c *cluster.Cluster, r *report.Report, p Proof) {
	if p.Timeout == 0 {
		p.Timeout = defaultTimeout
	}
	t := &T{
		Cluster: c, Namespace: p.Name, proof: p, report: r, started: time.Now(),
		reports: filepath.Join(c.Reports, p.Suite, p.Name),
	}
	r.Progress("run          %s/%s", p.Suite, p.Name)
	var cancel context.CancelFunc
	t.ctx, cancel = context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	t.do(func() {
		if err := c.CreateNamespace(t.ctx, t.Namespace); err != nil {
			t.Fatal(err)
		}
		p.Run(t)
	})
	if t.Failed() {
		t.collect(ctx)
	}
	t.cleanUp(ctx)
	r.Add(t.conclude())
}

func (t *T) conclude() report.Case {
	t.mu.Lock()
	defer t.mu.Unlock()
	return report.Case{
		Suite: t.proof.Suite, Name: t.proof.Name, About: t.proof.About, Outcome: t.outcome, Reason: strings.Join(t.reasons, "\n"),
		Output: t.log.String(), Duration: time.Since(t.started),
	}
}

// do runs f in a goroutine of its own, which Fatal and Skip can end.
func (t *T) do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		f()
	}()
	<-done
}

func (t *T) collect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := t.Cluster.Collect(ctx, t.reports, t.Namespace); err != nil {
		t.Logf("collecting logs: %v", err)
	}
	t.Logf("logs are in %s", t.reports)
}

// cleanUp calls the cleanups, the last first, and deletes the namespace.
func (t *T) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	t.mu.Lock()
	t.ctx = ctx
	t.mu.Unlock()
	for f := t.popCleanup(); f != nil; f = t.popCleanup() {
		t.do(f)
	}
	if err := t.Cluster.DeleteNamespace(ctx, t.Namespace); err != nil {
		t.Errorf("cleaning up: %v", err)
		t.collect(ctx)
	}
}

// popCleanup returns the last of the cleanups, nil if there is none left.
func (t *T) popCleanup() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cleanups) == 0 {
		return nil
	}
	last := t.cleanups[len(t.cleanups)-1]
	t.cleanups = t.cleanups[:len(t.cleanups)-1]
	return last
}

// Context ends when the proof's time is over or the lab is interrupted; in a Cleanup, when the time for that is over.
func (t *T) Context() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ctx
}

// Name is the proof's.
func (t *T) Name() string { return t.proof.Name }

// Reports returns the proof's own directory of the report, which exists.
func (t *T) Reports() string {
	if err := os.MkdirAll(t.reports, 0o755); err != nil {
		t.Error(err)
	}
	return t.reports
}

// TempDir returns a new directory on a disk, which is removed after the proof.
func (t *T) TempDir() string {
	dir, err := os.MkdirTemp(t.Cluster.Dir, t.proof.Name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Cleanup calls f after the proof, those that were given later first.
func (t *T) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// Record adds a case of its own to the report, in the proof's suite unless it names one.
func (t *T) Record(c report.Case) {
	if c.Suite == "" {
		c.Suite = t.proof.Suite
	}
	t.report.Add(c)
}

// Failed reports whether the proof has failed.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outcome == report.Failed
}

// Log notes something, with the time since the proof began. It is shown if the proof fails.
func (t *T) Log(args ...any) { t.note(fmt.Sprintln(args...)) }

// Logf is Log with a format.
func (t *T) Logf(format string, args ...any) { t.note(fmt.Sprintf(format, args...)) }

func (t *T) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(&t.log, "%6.2fs %s\n", time.Since(t.started).Seconds(), strings.TrimRight(text, "\n"))
}

// Error notes a failure and goes on.
func (t *T) Error(args ...any) { t.fail(fmt.Sprintln(args...)) }

// Errorf is Error with a format.
func (t *T) Errorf(format string, args ...any) { t.fail(fmt.Sprintf(format, args...)) }

// Fatal notes a failure and ends the proof.
func (t *T) Fatal(args ...any) {
	t.fail(fmt.Sprintln(args...))
	runtime.Goexit()
}

// Fatalf is Fatal with a format.
func (t *T) Fatalf(format string, args ...any) {
	t.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// Skip ends the proof, which cannot show its thing here, with the reason.
func (t *T) Skip(args ...any) {
	t.mu.Lock()
	if t.outcome != report.Failed {
		t.outcome = report.Skipped
		t.reasons = append(t.reasons, strings.TrimRight(fmt.Sprintln(args...), "\n"))
	}
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *T) fail(reason string) {
	reason = strings.TrimRight(reason, "\n")
	if cause := context.Cause(t.Context()); errors.Is(cause, context.DeadlineExceeded) {
		reason += fmt.Sprintf(" (the proof's time of %s is over)", t.proof.Timeout)
	}
	t.note("FAIL: " + reason)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outcome = report.Failed
	if reason != "" {
		t.reasons = append(t.reasons, reason)
	}
}
