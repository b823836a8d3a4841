package kubelet_test

import (
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

// A pod's mount namespace is a copy of the machine's, which would keep every
// file system alive that another test unmounts meanwhile.
func TestPodHoldsNoMountButItsOwn(t *testing.T) {
	n := newNode(t)
	v := n.volume("held", lab.Exporter(t, lab.Dir(t)))
	must(t, v.stage(t.Context()))
	foreign := lab.Mount(t, lab.Exporter(t, lab.Dir(t)).URL)
	p := v.pod("verify")
	foreign.Unmount(t)
	p.finish(t)
	v.delete(p)
	n.holdsNothing()
}
