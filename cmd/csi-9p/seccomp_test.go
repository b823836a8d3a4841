package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeccompProfile(t *testing.T) {
	dir := t.TempDir()
	file, target := filepath.Join(dir, "file.json"), filepath.Join(dir, "seccomp", "csi-9p", "vsock.json")
	for _, profile := range []string{`{"defaultAction": "SCMP_ACT_ERRNO"}`, `{"defaultAction": "SCMP_ACT_KILL", "syscalls": []}`} {
		if err := os.WriteFile(file, []byte(profile), 0o600); err != nil {
			t.Fatal(err)
		}
		if status := run([]string{"seccomp", file, target}); status != 0 {
			t.Fatalf("exit status %d", status)
		}
		got, err := os.ReadFile(target)
		if err != nil || string(got) != profile {
			t.Errorf("the target is %q, %v", got, err)
		}
	}
	if info, err := os.Stat(target); err != nil || info.Mode() != 0o644 {
		t.Errorf("got %v, %v", info, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(target)); err != nil || len(entries) != 1 {
		t.Errorf("beside the target lie %v, %v", entries, err)
	}
}

// A broken profile would keep every container from starting that uses it.
func TestSeccompProfileRefuses(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target.json")
	if err := os.WriteFile(target, []byte("good"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"cut": `{"defaultAction": "SCMP_`, "other": `{"a": 1}`} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := installSeccompProfile(file, target); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "good" {
		t.Errorf("the target is %q, %v", got, err)
	}
}
