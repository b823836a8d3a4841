// Command bench runs csi-9p's benches beside what there is to compare with, and writes what they measured into a page: go-fuse's
// loopback file system, with and without the kernel's passthrough, and sshfs, if it is installed. It needs root.
//
//	bench [-quick] [-program bin/csi-9p] [-dir /dev/shm] [-page docs/performance.md]
//	bench loopback DIR MOUNTPOINT FLAVOUR
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := errors.New("usage: bench loopback DIR MOUNTPOINT FLAVOUR")
	if len(os.Args) < 2 || os.Args[1] != "loopback" {
		err = run(ctx)
	} else if len(os.Args) == 5 {
		err = runLoopback(ctx, os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func runLoopback(ctx context.Context, args []string) error {
	var f flavour
	if err := json.Unmarshal([]byte(args[2]), &f); err != nil {
		return fmt.Errorf("FLAVOUR: %w", err)
	}
	return loopback(ctx, args[0], args[1], f)
}

// bench is one run of csi-9p bench.
type bench struct {
	name  string // in the page's places
	args  []string
	plot  bool
	quick []string // what makes it short; nil: it is left out
}

func run(ctx context.Context) (err error) {
	quick := flag.Bool("quick", false, "a look in under three minutes, in place of numbers to publish")
	program := flag.String("program", "bin/csi-9p", "the binary to measure")
	parent := flag.String("dir", "/dev/shm", "where the exported directory is made: in memory, so that no disk is measured")
	page := flag.String("page", "docs/performance.md", "the page to fill; its plots go into a directory beside it")
	flag.Parse()
	s, err := newStand(*parent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	dir, err := s.mkdir("share")
	if err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	against, err := baselines(ctx, s, dir)
	if err != nil {
		return err
	}
	plots := strings.TrimSuffix(*page, ".md")
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	for _, b := range benches(against) {
		if *quick && b.quick == nil {
			continue
		}
		args := append([]string{"bench"}, b.args...)
		if b.plot {
			args = append(args, "--plot", filepath.Join(plots, b.name+".svg"))
		}
		if *quick {
			args = append(args, b.quick...)
		}
		begin := time.Now()
		text, failure := output(ctx, *program, append(args, dir)...)
		if failure != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", b.name, failure))
			continue // what else is measured is worth having
		}
		fmt.Printf("%s, in %v:\n\n%s\n", b.name, time.Since(begin).Round(time.Second), text)
		if err := rewrite(*page, b.name, blocks(text)); err != nil {
			return err
		}
	}
	return err
}

func benches(against []string) []bench {
	short := []string{"--rounds=20", "--slice=1ms", "--area=8Mi"}
	brief := []string{"--files=100", "--rounds=3", "--slice=10ms", "--area=8Mi"}
	return []bench{
		{"sweep-mount", []string{"sweep", "--through=mount"}, true, short},
		{"sweep-unix", []string{"sweep", "--through=client"}, true, short},
		{"sweep-tcp", []string{"sweep", "--through=client", "--transport=tcp"}, true, short},
		{"suite", append([]string{"suite"}, against...), true, brief},
		{"suite-tcp", append([]string{"suite", "--transport=tcp", "--run=Direct I/O"}, against...), false, nil},
		{"memory", []string{"memory"}, false, []string{"--volumes=100", "--opens=2000", "--mounts=100"}},
	}
}

// baselines mounts what is measured beside, and returns it as flags.
func baselines(ctx context.Context, s *stand, dir string) (flags []string, err error) {
	for _, b := range []struct {
		name string
		flavour
	}{
		{"go-fuse", flavour{}},
		{"go-fuse, 1 MiB requests", flavour{Request: largestRequest}},
		{"go-fuse, passthrough", flavour{Request: largestRequest, Passthrough: true}},
	} {
		uncached, err := s.loopback(b.name+", uncached", dir, b.flavour)
		if err != nil {
			return nil, err
		}
		b.Timeout = time.Second
		cached, err := s.loopback(b.name, dir, b.flavour)
		if err != nil {
			return nil, err
		}
		flags = append(flags, "--against", b.name+"="+cached+":"+uncached)
	}
	if _, err := exec.LookPath("sshfs"); err != nil {
		fmt.Fprintln(os.Stderr, "bench: sshfs is not installed, and not measured")
		return flags, nil
	}
	cached, uncached, err := s.sshfs(ctx, dir)
	if err != nil {
		return nil, err
	}
	return append(flags, "--against", "sshfs="+cached+":"+uncached), nil
}

// output runs a program to its end and returns what it printed. Its progress is shown, and it may clean up when ctx ends.
func output(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	text, err := io.ReadAll(out)
	return string(text), errors.Join(err, cmd.Wait())
}

// rewrite fills the places of one run in the page.
func rewrite(path, run string, blocks map[string]string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(fill(string(old), run, blocks)), 0o644)
}
