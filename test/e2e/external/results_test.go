package external

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2/types"
)

func spec(name string, state types.SpecState, message string) types.SpecReport {
	return types.SpecReport{
		ContainerHierarchyTexts: []string{"External Storage [Driver: csi-9p.dev]", "[Testpattern: Dynamic PV (default fs)] volumes"},
		LeafNodeType:            types.NodeTypeIt, LeafNodeText: name, State: state, Failure: types.Failure{Message: message},
	}
}

// results are those of a report of these specs, all of which were to run but those without state.
func results(t *testing.T, specs ...types.SpecReport) *Results {
	t.Helper()
	suite := types.Report{SpecReports: specs}
	for _, s := range specs {
		if s.LeafNodeType == types.NodeTypeIt && (s.State != types.SpecStateSkipped || s.Failure.Message != "") {
			suite.PreRunStats.SpecsThatWillRun++
		}
	}
	return parsed(t, suite)
}

func parsed(t *testing.T, suite types.Report) *Results {
	t.Helper()
	report, err := json.Marshal([]types.Report{suite})
	if err != nil {
		t.Fatal(err)
	}
	r, err := parse(bytes.NewReader(report))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var passed = spec("should store data", types.SpecStatePassed, "")

func TestErr(t *testing.T) {
	for name, c := range map[string]struct {
		specs []types.SpecReport
		want  string // in the error; "": none
	}{
		"all passed":           {[]types.SpecReport{passed}, ""},
		"focus left out":       {[]types.SpecReport{passed, spec("x", types.SpecStateSkipped, "")}, ""},
		"capability missing":   {[]types.SpecReport{passed, spec("x", types.SpecStateSkipped, `Driver "csi-9p.dev" does not support topology - skipping`)}, ""},
		"no key for ssh":       {[]types.SpecReport{passed, spec("kubelet", types.SpecStateSkipped, "No SSH Key for provider skeleton: 'open id_rsa'")}, "kubelet was skipped, which no missing capability explains: No SSH Key"},
		"too few nodes":        {[]types.SpecReport{passed, spec("x", types.SpecStateSkipped, "Number of available nodes is less than 2 - skipping")}, "no missing capability explains"},
		"claimed but skipped":  {[]types.SpecReport{passed, spec("x", types.SpecStateSkipped, `Driver "csi-9p.dev" does not support exec - skipping`)}, "no missing capability explains"},
		"failed":               {[]types.SpecReport{passed, spec("x", types.SpecStateFailed, "timed out")}, "1 specs failed"},
		"panicked, timed out":  {[]types.SpecReport{passed, spec("x", types.SpecStatePanicked, ""), spec("y", types.SpecStateTimedout, "")}, "2 specs failed"},
		"nothing ran":          {nil, "no spec passed"},
		"suite's setup failed": {[]types.SpecReport{passed, {LeafNodeType: types.NodeTypeSynchronizedBeforeSuite, State: types.SpecStateFailed}}, "1 specs failed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := results(t, c.specs...).Err()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got the error %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got the error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestErrOfAnInterruptedSuite(t *testing.T) {
	r := parsed(t, types.Report{
		SpecReports:                types.SpecReports{passed, spec("x", types.SpecStateSkipped, "")},
		PreRunStats:                types.PreRunStats{SpecsThatWillRun: 2},
		SpecialSuiteFailureReasons: []string{"Suite Timeout Elapsed"},
	})
	for _, want := range []string{"1 specs were to run and were never reached", "Suite Timeout Elapsed"} {
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want one with %q", err, want)
		}
	}
}

func TestParseRefusesWhatIsNoReport(t *testing.T) {
	if _, err := parse(strings.NewReader("Ran 0 of 866 Specs")); err == nil {
		t.Error("no error")
	}
}

func TestWriteText(t *testing.T) {
	r := results(t, passed, spec("should run fast", types.SpecStateFailed, "too slow\nby far"),
		spec("a", types.SpecStateSkipped, "Driver csi-9p.dev doesn't support Block -- skipping"),
		spec("b", types.SpecStateSkipped, `Driver "csi-9p.dev" does not provide raw block - skipping`),
		spec("c", types.SpecStateSkipped, `Driver "csi-9p.dev" does not support volume type "InlineVolume" - skipping`),
		spec("d", types.SpecStateSkipped, "Requires at least 2 nodes (not 1)"))
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"External.Storage: 1 passed, 1 failed, 3 skipped by what the driver does not claim, 1 skipped otherwise\n",
		"passed:\n    0.0s  [Testpattern: Dynamic PV (default fs)] volumes should store data\n",
		"should run fast\n          too slow\n          by far\n",
		"SKIPPED, and no missing capability explains it:\n    0.0s  [Testpattern: Dynamic PV (default fs)] volumes d\n          Requires at least 2 nodes (not 1)\n",
		"  2  block: a share holds files, not block devices\n" +
			"       Driver \"csi-9p.dev\" does not provide raw block - skipping\n" +
			"         [Testpattern: Dynamic PV (default fs)] volumes b\n",
		"  1  the suite makes no volume of this type",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
}
