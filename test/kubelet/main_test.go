// Package kubelet_test is what a kubelet does to the driver's real processes
// when things go wrong on a node: a server that is gone for good under pods of
// every kind, and a node service that is killed under verified I/O.
package kubelet_test

import (
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, works) }
