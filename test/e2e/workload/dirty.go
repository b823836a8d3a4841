package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// mapped is large enough that the kernel has dirty pages of it at any moment.
const mapped = 32 << 20

// dirty maps a file and writes to its pages until ctx ends, so that whoever ends the process ends it with pages that
// the server has not seen.
func dirty(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(mapped); err != nil {
		return err
	}
	pages, err := syscall.Mmap(int(f.Fd()), 0, mapped, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap %s: %w", path, err)
	}
	for round := byte(1); ctx.Err() == nil; round++ {
		for i := 0; i < mapped; i += os.Getpagesize() {
			pages[i] = round
		}
		if round == 1 {
			fmt.Println("dirtying")
		}
		pause(ctx, 100*time.Millisecond)
	}
	return errors.Join(syscall.Munmap(pages))
}
