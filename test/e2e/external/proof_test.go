package external

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAwaitEmpty(t *testing.T) {
	share := t.TempDir()
	for _, dir := range []string{"volumes", "dirs", "trash"} {
		if err := os.MkdirAll(filepath.Join(share, ".csi-9p", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := awaitEmpty(t.Context(), share); err != nil {
		t.Errorf("an empty share: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, left := range []string{"pvc-1", ".csi-9p/volumes/1.json", ".csi-9p/trash/1"} {
		path := filepath.Join(share, left)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := awaitEmpty(over, share); err == nil || !strings.Contains(err.Error(), left) {
			t.Errorf("a share with %s: got the error %v", left, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
