package work_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/bench/work"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slices runs work twice and checks that it did something and left nothing.
func slices(t *testing.T, w *work.Work, err error, operations int64, dir string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		sample, err := w.Slice(t.Context(), 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if sample.Operations < 1 || operations > 0 && sample.Operations != operations || sample.Elapsed <= 0 {
			t.Errorf("%d operations in %v, want %d", sample.Operations, sample.Elapsed, operations)
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	shape := work.Shape{Size: 64 << 10, InFlight: 3, Area: 1 << 20}
	for name, test := range map[string]struct {
		change     func(*work.File)
		operations int64
	}{
		"read":                  {func(*work.File) {}, 16},
		"read again":            {func(f *work.File) { f.Warm = true }, 16},
		"write":                 {func(f *work.File) { f.Write = true }, 16},
		"direct read":           {func(f *work.File) { f.Direct = true }, 0},
		"direct random write":   {func(f *work.File) { f.Direct, f.Write, f.Random = true, true, true }, 0},
		"larger than the area":  {func(f *work.File) { f.Write, f.Size = true, 2<<20 }, 1},
		"not a divisor of area": {func(f *work.File) { f.Size = 300_000 }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := work.File{Shape: shape, Dir: dir}
			test.change(&f)
			w, err := f.Open()
			slices(t, w, err, test.operations, dir)
		})
	}
}

func TestShortReadIsAnError(t *testing.T) {
	short, err := work.File{Shape: work.Shape{Size: 8192, Area: 4096}, Dir: t.TempDir()}.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := short.Slice(t.Context(), time.Millisecond); !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "8192 bytes, 4096 done") {
		t.Errorf("a read of twice the file: %v", err)
	}
	if err := short.Close(); err != nil {
		t.Error(err)
	}
}

func TestNamesAndTrees(t *testing.T) {
	dir := t.TempDir()
	m, tree := work.Metadata{Dir: dir, Files: 60, InFlight: 2}, work.Tree{Dir: dir, Files: 60}
	for name, test := range map[string]struct {
		open       func() (*work.Work, error)
		operations int64
	}{
		"stat": {m.Stat, 0}, "create": {m.Create, 0}, "unlink": {m.Unlink, 0},
		"list":   {func() (*work.Work, error) { return m.List(true) }, 0},
		"unpack": {tree.Unpack, 60}, "read": {tree.Read, 60}, "remove": {tree.Remove, 60},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := test.open()
			slices(t, w, err, test.operations, dir)
		})
	}
}

// TestPlain copies over a socket, also more at a time than the socket holds.
func TestPlain(t *testing.T) {
	dir := t.TempDir()
	address := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- work.Copy(l) }()
	for _, shape := range []work.Shape{{Size: 1}, {Size: 4096, InFlight: 16, Random: true}, {Size: 2 << 20, InFlight: 4}} {
		for _, shape.Write = range []bool{false, true} {
			w, err := work.Plain{Shape: shape, Network: "unix", Address: address}.Open()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			sample, err := w.Slice(ctx, 5*time.Millisecond)
			if err != nil || sample.Operations < 1 || sample.Bytes != sample.Operations*int64(shape.Size) {
				t.Errorf("%+v: %+v, %v", shape, sample, err)
			}
			cancel()
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	l.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
