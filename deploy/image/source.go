package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// source is a tree to build from, and all that ends up in an image beside its files.
type source struct {
	dir      string
	version  string
	revision string
	time     time.Time
}

// tagged is what a version may look like: it becomes the image's tag and a linker flag.
var tagged = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// examine finds out what the tree at o.source is: what is not given comes from git. SOURCE_DATE_EPOCH
// (https://reproducible-builds.org/specs/source-date-epoch/) wins over the commit's time.
func examine(ctx context.Context, o options) (source, error) {
	dir, err := filepath.Abs(o.source)
	if err != nil {
		return source{}, err
	}
	s := source{dir: dir, version: o.version, revision: o.revision}
	if s.version == "" {
		if s.version, err = git(ctx, dir, "describe", "--tags", "--always", "--dirty"); err != nil {
			return s, fmt.Errorf("no version: give --version, or build from a git clone: %w", err)
		}
	}
	if s.revision == "" {
		if s.revision, err = git(ctx, dir, "rev-parse", "HEAD"); err != nil {
			return s, fmt.Errorf("no revision: give --revision, or build from a git clone: %w", err)
		}
	}
	if !tagged.MatchString(s.version) {
		return s, fmt.Errorf("--version %q: can be no tag of an image", s.version)
	}
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		if seconds, err = git(ctx, dir, "log", "-1", "--format=%ct"); err != nil {
			return s, fmt.Errorf("no time: set SOURCE_DATE_EPOCH, or build from a git clone: %w", err)
		}
	}
	epoch, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return s, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	s.time = time.Unix(epoch, 0).UTC()
	return s, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}
