// Package exporter_test runs what the manifests of this directory describe: the certificates that certificates.sh makes, and
// `csi-9p serve` with the arguments and the capabilities of the Deployment.
package exporter_test

import (
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }
