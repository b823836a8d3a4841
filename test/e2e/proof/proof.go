// Package proof has the scenarios by which the lab shows that the driver does what it promises.
package proof

import "github.com/csi-9p/csi-9p/test/e2e/suite"

// Proofs are all scenarios, in the order in which they run.
func Proofs() []suite.Proof {
	return []suite.Proof{
		{Suite: "smoke", Name: "pod-runs", About: "a pod runs on each node", Run: podRuns},
	}
}
