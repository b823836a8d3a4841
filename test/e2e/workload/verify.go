package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const (
	blockSize = 64 << 10
	files     = 8
)

// Result is what verify prints when it is told to end, as one line of JSON. The package proof reads it.
type Result struct {
	Rounds  int     `json:"rounds"`
	Longest float64 `json:"longestSeconds"` // the slowest round: write, fsync, rename, open, read, compare
}

// verify writes, replaces, reads back and compares files in dir until ctx ends. A wrong byte or a failing call is an error.
func verify(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var result Result
	fmt.Println("verifying")
	for ctx.Err() == nil {
		started := time.Now()
		if err := verifyOnce(dir, result.Rounds); err != nil {
			return fmt.Errorf("round %d, after %s: %w", result.Rounds, time.Since(started), err)
		}
		result.Rounds++
		result.Longest = max(result.Longest, time.Since(started).Seconds())
		pause(ctx, 5*time.Millisecond)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// verifyOnce replaces one of the files by what only this round writes.
func verifyOnce(dir string, round int) error {
	want := content(round)
	name := filepath.Join(dir, fmt.Sprint("file", round%files))
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(want)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	got, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: %d bytes read are not the %d written", name, len(got), len(want))
	}
	return nil
}

func content(round int) []byte {
	block := make([]byte, blockSize)
	_, _ = rand.NewChaCha8([32]byte{byte(round), byte(round >> 8), byte(round >> 16)}).Read(block)
	return block
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
