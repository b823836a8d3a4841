package main

import (
	"os"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	const page = `# Title

By hand.

<!-- bench: suite / -->
<!-- end -->
<!-- bench: suite / Direct I/O -->

old

<!-- end -->
More by hand.
<!-- bench: sweep / Reads -->
kept
<!-- end -->
`
	run := blocks("A machine.\n\n### Direct I/O\n\n| new |\n\n### Ratios\n\n| none |\n")
	got := fill(page, "suite", run)
	const want = `# Title

By hand.

<!-- bench: suite / -->

A machine.

<!-- end -->
<!-- bench: suite / Direct I/O -->

| new |

<!-- end -->
More by hand.
<!-- bench: sweep / Reads -->
kept
<!-- end -->
`
	if got != want {
		t.Errorf("%s", got)
	}
	if again := fill(got, "suite", run); again != want {
		t.Errorf("filled again: %s", again)
	}
	if none := fill(page, "sweep", run); !strings.Contains(none, "\nNothing.\n") || strings.Contains(none, "kept") {
		t.Errorf("a block that is not there: %s", none)
	}
}

// TestPlaces makes sure that the page asks for runs that there are, once each.
func TestPlaces(t *testing.T) {
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, b := range benches(nil) {
		known[b.name] = true
	}
	seen := map[string]bool{}
	for _, m := range place.FindAllStringSubmatch(string(page), -1) {
		if !known[m[2]] || seen[m[1]] {
			t.Errorf("there is no run of that name, or the place is there twice: %s", m[1])
		}
		seen[m[1]] = true
	}
	if len(seen) < 20 || len(seen) != strings.Count(string(page), "<!-- bench: ") {
		t.Errorf("%d places were found", len(seen))
	}
}
