package ninep_test

import (
	"context"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// TestSharedFlow: two attaches with one flow are bounded together.
func TestSharedFlow(t *testing.T) { inBothModes(t, sharedFlow) }

func sharedFlow(t *testing.T, z ninep.ZeroCopy) {
	reads := make(chan struct{}, 2)
	s, _ := openScripted(t, func(_ uint16, m ninep.Message) any {
		if m.Type() == ninep.TypeTread {
			reads <- struct{}{}
			return nil
		}
		return pass
	})
	const size = 4 << 10
	flow := transport.NewFlow(size)
	var root *ninep.Fid
	for range 2 {
		root = must(s.Attach(testContext(t), ninep.AttachOptions{Flow: flow, ZeroCopy: z}))(t)
		file := must(root.Walk(testContext(t), "file"))(t)
		ok(t, file.Open(testContext(t), 0))
		file.StartRead(&ninep.IO{Buf: make([]byte, size), Done: func(*ninep.IO) {}})
	}
	<-reads
	// What was sent before the walk has arrived before it.
	_, err := root.Walk(context.Background())
	ok(t, err)
	select {
	case <-reads:
		t.Error("both reads went out, though one takes all that the flow bears")
	default:
	}
}
