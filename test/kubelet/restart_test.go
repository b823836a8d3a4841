package kubelet_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/test/lab"
)

// pause is the longest wait for one record's write and read that a restart of
// the node service may cause.
const pause = time.Second

// The node service killed and told to end, again and again, while pods do
// verified I/O and volumes come and go: no I/O fails or waits for it, and every
// call that a kill cut off is finished by the next service.
func TestNodeServiceRestartedUnderIO(t *testing.T) {
	n := newNode(t)
	server := lab.Exporter(t, lab.Dir(t))
	v := n.volume("steady", server)
	must(t, v.stage(t.Context()))
	witness := v.pod("verify")
	for i, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		passing := n.volume(fmt.Sprint("passing-", i), server)
		cut := make(chan error, 1)
		go func() { cut <- untilDone(t.Context(), passing.stage) }()
		n.service.Signal(t, sig)
		if err := n.service.Wait(10 * time.Second); sig == syscall.SIGTERM && err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
		witness.busy(t)
		n.start()
		must(t, <-cut)
		p := passing.pod("verify")
		p.finish(t)
		passing.delete(p)
	}
	witness.finish(t)
	if longest := witness.longest(t); longest > pause {
		t.Errorf("one record took %v", longest)
	}
	v.delete(witness)
	n.holdsNothing()
}

// longest is what the verifying pod said of itself.
func (p *pod) longest(t *testing.T) time.Duration {
	t.Helper()
	var records, ms int
	said := strings.TrimLeft(p.Output(), ".\n")
	if _, err := fmt.Sscanf(said, "%d records, longest %d ms", &records, &ms); err != nil {
		t.Fatalf("the pod said %q: %v", said, err)
	}
	t.Logf("%d records, the longest took %d ms", records, ms)
	return time.Duration(ms) * time.Millisecond
}
