package suite_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/csi-9p/csi-9p/test/e2e/cluster"
	"github.com/csi-9p/csi-9p/test/e2e/report"
	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// run runs a proof against a cluster that is an API without nodes, and returns what is told of it.
func run(t *testing.T, p suite.Proof) string {
	t.Helper()
	t.Setenv("PATH", "") // no kubectl: what is collected after a failure is not the subject here
	p.Suite, p.Name = "proofs", "example"
	client := fake.NewClientset(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: p.Name}})
	var out bytes.Buffer
	r := report.New(&out)
	suite.Run(t.Context(), &cluster.Cluster{Client: client, Dir: t.TempDir(), Reports: t.TempDir()}, r, p)
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), p.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the proof's namespace is left: %v", err)
	}
	return out.String()
}

func TestOutcomes(t *testing.T) {
	for _, tc := range []struct {
		name string
		run  func(*suite.T)
		want []string // parts of what is told
		not  string
	}{
		{"nothing fails", func(p *suite.T) { p.Log("done") }, []string{"ok ", "proofs/example: an example"}, "done"},
		{"an error", func(p *suite.T) { p.Error("one"); p.Errorf("%s", "two") }, []string{"FAIL", "| one\n", "| two\n"}, ""},
		{"a fatal error ends it", func(p *suite.T) { p.Fatal("one"); p.Fatal("two") }, []string{"FAIL", "| one\n"}, "two"},
		{"a panic", func(*suite.T) { panic("oops") }, []string{"FAIL", "panic: oops"}, ""},
		{"it cannot be shown", func(p *suite.T) { p.Skip("no such kernel"); p.Fatal("two") }, []string{"skip", "no such kernel"}, "two"},
		{"it failed before it was skipped", func(p *suite.T) { p.Error("one"); p.Skip("why") }, []string{"FAIL", "| one\n"}, "why"},
		{"the clean-up fails", func(p *suite.T) { p.Cleanup(func() { p.Fatal("left") }) }, []string{"FAIL", "| left\n"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := run(t, suite.Proof{About: "an example", Run: tc.run})
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not told:\n%s", want, out)
				}
			}
			if tc.not != "" && strings.Contains(out, tc.not) {
				t.Errorf("%q is told:\n%s", tc.not, out)
			}
		})
	}
}

func TestCleanupsRunInReverseAfterTheTimeIsOver(t *testing.T) {
	var order []string
	out := run(t, suite.Proof{Timeout: time.Millisecond, Run: func(p *suite.T) {
		p.Cleanup(func() { order = append(order, "first") })
		p.Cleanup(func() {
			if p.Context().Err() != nil {
				t.Error("a clean-up has no time")
			}
			order = append(order, "second")
		})
		<-p.Context().Done()
		p.Fatal("too slow")
	}})
	if got := strings.Join(order, " "); got != "second first" {
		t.Errorf("the clean-ups ran as %q", got)
	}
	if !strings.Contains(out, "too slow (the proof's time of 1ms is over)") {
		t.Errorf("it is not told that the time was over:\n%s", out)
	}
}
