package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// tree copies a tree of files to a volume, and compares it there before and after the volume was mounted anew.
func tree(ctx context.Context, args []string) error {
	return withVolume(ctx, args, func(v *volume) error {
		source, err := os.MkdirTemp("", "tree-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(source)
		if err := growTree(source, 500, 64<<10); err != nil {
			return err
		}
		copied := filepath.Join(v.target(), "copied")
		compare := func() error { return busybox("diff", "-r", source, copied) }
		if err := busybox("cp", "-a", source, copied); err != nil {
			return err
		}
		if err := compare(); err != nil {
			return err
		}
		if err := v.unstage(ctx); err != nil {
			return err
		}
		if err := v.stage(ctx); err != nil {
			return err
		}
		if err := compare(); err != nil {
			return fmt.Errorf("mounted anew: %w", err)
		}
		return os.RemoveAll(copied)
	})
}

// growTree fills a directory with that many files of less than largest bytes, always the same, ten to a directory, and a
// symbolic link beside each tenth.
func growTree(dir string, files, largest int) error {
	const perDirectory = 10
	r := rand.New(rand.NewPCG(5, 9))
	content := make([]byte, largest)
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	for i := range files {
		parent := filepath.Join(dir, fmt.Sprintf("%d/%d", i/perDirectory/8, i/perDirectory))
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return err
		}
		name := filepath.Join(parent, fmt.Sprintf("file-%d", i))
		if err := os.WriteFile(name, content[:r.IntN(largest)], 0o644); err != nil {
			return err
		}
		if i%perDirectory == 0 {
			if err := os.Symlink(filepath.Base(name), name+".link"); err != nil {
				return err
			}
		}
	}
	return nil
}
