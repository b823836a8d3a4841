// Command summary reads the events of 'go test -json' and prints a line a package as it ends, the whole output of what
// failed, and at the end the tests that were skipped, with their reasons, and the counts. Its exit status is 0 only if
// something ran and nothing failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	s := summary{output: map[string][]string{}}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "summary: %v\n", err)
		os.Exit(1)
	}
	os.Exit(s.close())
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type summary struct {
	passed, failed int
	broken         int // packages that did not build, or failed outside a test
	skipped        []string
	output         map[string][]string // by package and test, until it has ended
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Println(lines.Text())
			continue
		}
		s.take(e)
	}
	return lines.Err()
}

func (s *summary) take(e event) {
	key := e.Package + e.ImportPath + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		s.output[key] = append(s.output[key], e.Output)
		return
	case "pass", "fail", "skip", "build-fail":
	default:
		return
	}
	switch {
	case e.Test == "":
		s.packageEnded(e, s.output[key])
	case e.Action == "fail":
		s.failed++
		fmt.Printf("--- FAIL %s\n%s", key, strings.Join(s.output[key], ""))
	case e.Action == "skip":
		s.skipped = append(s.skipped, key+": "+reason(s.output[key]))
	default:
		s.passed++
	}
	delete(s.output, key)
}

func (s *summary) packageEnded(e event, output []string) {
	if e.Action == "fail" || e.Action == "build-fail" {
		s.broken++
		s.unfinished(e.Package)
		fmt.Print(strings.Join(output, ""))
	}
	if e.Action != "skip" && !strings.Contains(strings.Join(output, ""), "[no tests to run]") {
		fmt.Printf("%-5s %7.1f s  %s\n", e.Action, e.Elapsed, e.Package+e.ImportPath)
	}
}

// unfinished prints what the tests have said that the end of their package's process cut short: the one that crashed it is among them.
func (s *summary) unfinished(pkg string) {
	for _, key := range slices.Sorted(maps.Keys(s.output)) {
		if strings.HasPrefix(key, pkg+" ") && key != pkg+" " {
			fmt.Printf("--- ENDED EARLY %s\n%s", key, strings.Join(s.output[key], ""))
			delete(s.output, key)
		}
	}
}

// reason is what a skipped test said last before its closing line.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		line := strings.TrimSpace(output[i])
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return "no reason given"
}

func (s *summary) close() int {
	for _, skip := range s.skipped {
		fmt.Printf("SKIP %s\n", skip)
	}
	if s.broken > 0 {
		fmt.Printf("%d packages failed\n", s.broken)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, len(s.skipped))
	if s.passed == 0 || s.failed > 0 || s.broken > 0 {
		return 1
	}
	return 0
}
