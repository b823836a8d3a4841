package main

import (
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
	got, err := fill(page, map[string]map[string]string{"suite": run})
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
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	again, err := fill(got, map[string]map[string]string{"suite": run})
	if err != nil || again != want {
		t.Errorf("filled again: %v\n%s", err, again)
	}
	if _, err := fill(page, map[string]map[string]string{"sweep": run}); err == nil || !strings.Contains(err.Error(), "sweep / Reads") {
		t.Errorf("a block that is not there: %v", err)
	}
}
