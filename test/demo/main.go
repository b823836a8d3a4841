// Command demo runs csi-9p's main job on this machine, with every process that a cluster would run, and plays the two
// callers that Kubernetes brings: the provisioner, which asks the controller for a volume, and the kubelet, which asks
// the node service to mount it. It prints a line a step and ends with status 0 only if every check held.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("binary", "bin/csi-9p", "the csi-9p to run")
	flag.Parse()
	if err := prerequisites(); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := run(ctx, *binary); err != nil {
		fmt.Fprintf(os.Stderr, "demo: FAILED: %v\n", err)
		os.Exit(1)
	}
}

// prerequisites says what the demo needs and this machine lacks.
func prerequisites() error {
	var missing []error
	if os.Geteuid() != 0 {
		missing = append(missing, errors.New("mounting needs root: run it with sudo"))
	}
	if dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		missing = append(missing, fmt.Errorf("FUSE is missing (%w): load the kernel module with 'modprobe fuse', or give the container /dev/fuse", err))
	} else {
		dev.Close()
	}
	return errors.Join(missing...)
}

// run is the demo from the first process to the last check.
func run(ctx context.Context, binary string) (err error) {
	start := time.Now()
	dir, err := os.MkdirTemp("", "csi-9p-demo-")
	if err != nil {
		return err
	}
	c := &cluster{dir: dir, binary: binary}
	defer func() {
		if stopErr := c.cleanUp(); err == nil {
			err = stopErr
		}
	}()
	for _, s := range c.steps() {
		if err := step(ctx, s); err != nil {
			c.showLogs()
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	fmt.Printf("all checks held in %.1f s\n", time.Since(start).Seconds())
	return nil
}

// A demoStep is one line of the demo: do returns what is worth telling of it.
type demoStep struct {
	name string
	do   func(context.Context) (string, error)
}

func step(ctx context.Context, s demoStep) error {
	start := time.Now()
	told, err := s.do(ctx)
	mark := "ok"
	if err != nil {
		mark = "FAILED"
	}
	fmt.Printf("%-6s %8.1f ms  %-22s %s\n", mark, float64(time.Since(start).Microseconds())/1000, s.name, told)
	return err
}
