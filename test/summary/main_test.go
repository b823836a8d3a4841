package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// A process that crashes ends in the middle of a test, of which go test -json then tells no end.
func TestWhatACrashSaidIsPrinted(t *testing.T) {
	const events = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"fatal error: all goroutines are asleep\n"}
{"Action":"output","Package":"other","Test":"TestB","Output":"still running\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t7.1s\n"}
{"Action":"fail","Package":"p","Elapsed":7.1}
`
	printed := capture(t, func() {
		s := summary{output: map[string][]string{}}
		if err := s.read(strings.NewReader(events)); err != nil {
			t.Error(err)
		}
		if s.close() == 0 {
			t.Error("the run passes for one without a failure")
		}
	})
	if !strings.Contains(printed, "--- ENDED EARLY p TestA\nfatal error: all goroutines are asleep\n") {
		t.Errorf("what the test said is missing:\n%s", printed)
	}
	if strings.Contains(printed, "still running") {
		t.Errorf("another package's test is told of:\n%s", printed)
	}
}

// capture returns what f prints.
func capture(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout = w
	f()
	w.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
