package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"google.golang.org/grpc/codes"
)

// waiting is a kernel that asks the server before it binds, and gets no answer until the channel is closed.
type waiting struct {
	mountpoint.Mounter
	answer chan struct{}
}

func (w waiting) Mount(string, string, string, []string) error {
	<-w.answer
	return errors.New("too late")
}

// A bind that waits for the server of the kernel's client is given up with the call, which says so, and leaves no target.
func TestKernelBindThatHangs(t *testing.T) {
	answer := make(chan struct{})
	defer close(answer)
	s := &Service{binds: waiting{answer: answer}}
	want := publication{target: filepath.Join(t.TempDir(), "target")}
	want.spec.Context.Parameters.Engine = params.EngineKernel
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.bind(ctx, want); driver.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v: %v", driver.Code(err), err)
	}
	if _, err := os.Lstat(want.target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the target is there: %v", err)
	}
}
