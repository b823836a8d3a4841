// Package external runs Kubernetes' own external storage end-to-end suite against the driver.
package external

import (
	_ "k8s.io/kubernetes/test/e2e/framework"
	_ "k8s.io/kubernetes/test/e2e/storage/external"
)
