// Package sanity runs the CSI community's conformance suite, csi-test, against the real processes: exporter,
// controller, mounter and node service.
package sanity

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) {
	lab.Main(m, nil, goleak.IgnoreTopFunction("github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"))
}

// notClaimed lists the suite's reasons to skip a spec that are fair: each names a capability that the driver does not
// claim. Any other skipped spec is a failure.
var notClaimed = []string{
	"Snapshot not supported",
	"Volume Cloning not supported",
	"Modify volume not supported",
	"Modify Volume not supported",
	"ControllerPublishVolume not supported",
	"ControllerUnpublishVolume not supported",
	"Controller Publish, UnpublishVolume not supported",
	"ControllerPublishVolume.readonly field not supported",
	"testnodevolumeattachlimit not enabled", // a limit of ControllerPublishVolume
	"ListSnapshots not supported",
	"GetSnapshot not supported",
	"DeleteSnapshot not supported",
	"CreateSnapshot not supported",
	"SNAPSHOT_ACCESSIBILITY_CONSTRAINTS not supported",
	"ControllerModifyVolume not supported",
	"ControllerGetVolumeHealth not supported",
	"ControllerListVolumeHealth not supported",
	"GroupControllerService not supported",
	"VolumeGroupSnapshots not supported",
}

// onNode begins the names of the specs that run without a central controller, where nobody expands volumes.
const onNode = "a controller on each node"

func TestCSISanity(t *testing.T) {
	central, share := lab.Exporter(t, lab.Dir(t)), lab.Exporter(t, lab.Dir(t))
	defer register(startDriver(t), "a central controller", central.URL)()
	defer register(startOnNode(t, share.URL), onNode, share.URL)()
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.ReportAfterSuite("nothing skipped that a claimed capability brings", func(report ginkgo.Report) { judge(t, report) })
	ginkgo.RunSpecs(t, "csi-sanity")
}

// register has the suite run against a driver, for volumes on a server. What it returns is to be called after the run.
func register(d *running, name, server string) (finalize func()) {
	config := sanity.NewTestConfig()
	config.Address = d.socket("node.sock")
	config.ControllerAddress = d.socket("controller.sock")
	config.TargetPath = filepath.Join(d.dir, "target")
	config.StagingPath = filepath.Join(d.dir, "staging")
	config.TestVolumeParameters = map[string]string{"server": server}
	config.TestVolumeSize = 1 << 30
	var suite *sanity.TestContext
	ginkgo.Describe(name, func() { suite = sanity.GinkgoTest(&config) })
	return func() { suite.Finalize() }
}

// claimed reports whether a spec was skipped although the driver claims what it is about.
func claimed(spec ginkgo.SpecReport) bool {
	reason := spec.Failure.Message
	if strings.HasPrefix(spec.FullText(), onNode) && reason == "ControllerExpandVolume not supported" {
		return false
	}
	return !slices.Contains(notClaimed, reason)
}

// judge fails the test for every spec that was skipped for a reason that is not [notClaimed].
func judge(t *testing.T, report ginkgo.Report) {
	passed, skipped := 0, 0
	for _, spec := range report.SpecReports {
		switch {
		case spec.State.String() == "passed":
			passed++
		case spec.State.String() == "skipped":
			skipped++
			if claimed(spec) {
				t.Errorf("skipped: %s: %s", spec.FullText(), spec.Failure.Message)
			}
		}
	}
	fmt.Printf("csi-sanity: %d specs passed, %d name a capability that is not claimed\n", passed, skipped)
	if passed == 0 {
		t.Error("no spec ran")
	}
}
