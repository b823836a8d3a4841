package report_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/report"
)

func example(out *bytes.Buffer) *report.Report {
	r := report.New(out)
	r.Note("the registrar is a stand-in")
	r.Add(report.Case{Suite: "lab", Name: "cluster", About: "2 nodes are ready", Duration: 7500 * time.Millisecond})
	r.Add(report.Case{Suite: "proofs", Name: "rwx", Outcome: report.Failed, Reason: "sum differs: 1 < 2", Output: "0.1s wrote\n0.2s read", Duration: time.Second})
	r.Add(report.Case{Suite: "proofs", Name: "userns", Outcome: report.Skipped, Reason: "the kernel has none"})
	return r
}

func TestTextTellsOutcomesAndTheLogOfFailures(t *testing.T) {
	var out bytes.Buffer
	r := example(&out)
	r.Summary()
	const want = `note: the registrar is a stand-in
ok      7.5s  lab/cluster: 2 nodes are ready
FAIL    1.0s  proofs/rwx
     | sum differs: 1 < 2
     | 0.1s wrote
     | 0.2s read
skip    0.0s  proofs/userns
     | the kernel has none
FAIL proofs/rwx
1 passed, 1 failed, 1 skipped
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if !r.Failed() {
		t.Error("a report with a failed case has not failed")
	}
}

func TestJUnit(t *testing.T) {
	var text, out bytes.Buffer
	if err := example(&text).WriteJUnit(&out); err != nil {
		t.Fatal(err)
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="lab" tests="1" failures="0" skipped="0" time="7.500">
    <properties>
      <property name="note" value="the registrar is a stand-in"></property>
    </properties>
    <testcase name="cluster" classname="lab" time="7.500"></testcase>
  </testsuite>
  <testsuite name="proofs" tests="2" failures="1" skipped="1" time="1.000">
    <properties>
      <property name="note" value="the registrar is a stand-in"></property>
    </properties>
    <testcase name="rwx" classname="proofs" time="1.000">
      <failure message="sum differs: 1 &lt; 2"></failure>
      <system-out>0.1s wrote&#xA;0.2s read</system-out>
    </testcase>
    <testcase name="userns" classname="proofs" time="0.000">
      <skipped message="the kernel has none"></skipped>
    </testcase>
  </testsuite>
</testsuites>`
	if strings.TrimSpace(out.String()) != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestNothingFailedIsNoFailure(t *testing.T) {
	r := report.New(new(bytes.Buffer))
	r.Add(report.Case{Suite: "lab", Name: "cluster"})
	r.Add(report.Case{Suite: "lab", Name: "userns", Outcome: report.Skipped})
	if r.Failed() {
		t.Error("a report without a failed case has failed")
	}
}
