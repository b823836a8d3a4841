package v9fs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"k8s.io/klog/v2"
)

// bdis are the kernel's names of v9fs' read-ahead settings, "9p-" and a number that nothing connects with a mount; a mount with
// cache=none has none (v9fs_fill_super).
const bdis = "/sys/class/bdi/9p-*"

// readAhead sets how far the kernel reads ahead, in bytes, on the mount that was made since before. Where several were made at the
// same time it is left alone: the volume is slower, not wrong.
func readAhead(ctx context.Context, before []string, bytes int64) {
	now, _ := filepath.Glob(bdis)
	added := slices.DeleteFunc(now, func(path string) bool { return slices.Contains(before, path) })
	if len(added) != 1 {
		return
	}
	if err := os.WriteFile(added[0]+"/read_ahead_kb", []byte(strconv.FormatInt(bytes>>10, 10)), 0); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot set how far the kernel reads ahead; the volume is slower for it")
	}
}
