package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestLoopback reads and writes through the baseline in all of its forms. It needs root.
func TestLoopback(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("mounting needs root")
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	for name, f := range map[string]flavour{"plain": {}, "large requests": {Request: largestRequest}, "passthrough": {Request: largestRequest, Passthrough: true}} {
		t.Run(name, func(t *testing.T) {
			s, err := newStand(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			}()
			dir, err := s.mkdir("share")
			if err != nil {
				t.Fatal(err)
			}
			at, err := s.loopback("mount", dir, f)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(at, "f"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{filepath.Join(at, "f"), filepath.Join(dir, "f")} {
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %d bytes, %v", path, len(got), err)
				}
			}
		})
	}
}

// TestMain is the loopback file system in the processes that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "loopback" {
		if err := runLoopback(context.Background(), os.Args[2:]); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
