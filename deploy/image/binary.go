package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// compile builds csi-9p for a platform and returns the binary. What could tell the machine that it was built on is kept
// out: paths (-trimpath), the state of the clone (-buildvcs), the linker's own id (-buildid), the environment's flags.
func compile(ctx context.Context, from source, platform v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "csi-9p-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "csi-9p")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.stamped="+from.version, "-o", binary, "./cmd/csi-9p")
	cmd.Dir = from.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture,
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build for %s: %w\n%s", platform, err, out)
	}
	return os.ReadFile(binary)
}
