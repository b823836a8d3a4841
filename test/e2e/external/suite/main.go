// Command suite is Kubernetes' External.Storage specs, and none of its other end-to-end tests. It takes the flags of
// Kubernetes' e2e.test: -storage.testdriver names the file that says what a driver does.
package main

import (
	"context"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"
	e2enode "k8s.io/kubernetes/test/e2e/framework/node"
	"k8s.io/kubernetes/test/e2e/framework/testfiles"
	testingmanifests "k8s.io/kubernetes/test/e2e/testing-manifests"

	// The specs.
	_ "k8s.io/kubernetes/test/e2e/storage/external"

	// What the framework does around each spec: describe a failed one's objects, see that nodes stay ready.
	_ "k8s.io/kubernetes/test/e2e/framework/debug/init"
	_ "k8s.io/kubernetes/test/e2e/framework/metrics/init"
	_ "k8s.io/kubernetes/test/e2e/framework/node/init"
)

var _ = ginkgo.SynchronizedBeforeSuite(func(ctx context.Context) {
	client, err := framework.LoadClientset()
	framework.ExpectNoError(err, "reading the kubeconfig")
	timeouts := framework.NewTimeoutContext()
	framework.ExpectNoError(e2enode.WaitForAllNodesSchedulable(ctx, client, timeouts.NodeSchedulable))
}, func(context.Context) {
	framework.TestContext.IPFamily = "ipv4"
})

// result is what the specs fail by outside of go test.
type result struct{ failed bool }

func (r *result) Fail() { r.failed = true }

// disruptiveAlone makes specs that restart a node's kubelet run while no other does.
func disruptiveAlone(_ types.NodeType, _ ginkgo.Offset, text string, args []any) (string, []any, []error) {
	disruptive := func(arg any) bool { return framework.TagsEqual(arg, framework.WithDisruptive()) }
	if slices.ContainsFunc(args, disruptive) {
		args = append(args, ginkgo.Serial)
	}
	return text, args, nil
}

func main() {
	ginkgo.AddTreeConstructionNodeArgsTransformer(disruptiveAlone)
	// The ginkgo command runs what it takes for a test binary: it passes flags of go test, too.
	testing.Init()
	config.CopyFlags(config.Flags, flag.CommandLine)
	framework.RegisterCommonFlags(flag.CommandLine)
	framework.RegisterClusterFlags(flag.CommandLine)
	flag.Parse()

	testfiles.AddFileSource(testingmanifests.GetE2ETestingManifestsFS())
	testfiles.AddFileSource(testfiles.RootFileSource{Root: framework.TestContext.RepoRoot})
	framework.AfterReadingAllFlags(&framework.TestContext)
	klog.SetOutput(ginkgo.GinkgoWriter)
	gomega.RegisterFailHandler(framework.Fail)

	suite, reporter := framework.CreateGinkgoConfig()
	var r result
	if !ginkgo.RunSpecs(&r, "Kubernetes external storage", suite, reporter) || r.failed {
		os.Exit(1)
	}
}
