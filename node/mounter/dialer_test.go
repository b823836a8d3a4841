package mounter_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// journal is a log's output, safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), what)
}

func TestTheLogTellsThatAServerWentAndCameBack(t *testing.T) {
	nodetest.NoLeaks(t)
	e := nodetest.Export(t)
	var log journal
	ctx := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log))))
	var volumes mounter.Volumes
	if err := volumes.Prepare(ctx, spec(t, e, "v", "v")); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 2; i++ {
		e.Kill()
		nodetest.Eventually(t, "the loss is logged", func() bool { return log.count("Lost the server") == i })
		e.Start()
		nodetest.Eventually(t, "the return is logged", func() bool { return log.count("Connected to the server again") == i })
	}
	if n := log.count(e.URL); n != 4 {
		t.Errorf("%d lines name the server, want 4", n)
	}
	if err := volumes.Release(t.Context(), "v"); err != nil {
		t.Error(err)
	}
}
