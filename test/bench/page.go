package main

import (
	"regexp"
	"strings"
)

// blocks cuts what a bench printed at its headings. What stands before the first is the block "".
func blocks(text string) map[string]string {
	all := map[string]string{}
	name := ""
	for _, line := range strings.SplitAfter(text, "\n") {
		if title, is := strings.CutPrefix(line, "### "); is {
			name = strings.TrimSpace(title)
			continue
		}
		all[name] += line
	}
	for name, text := range all {
		all[name] = strings.TrimSpace(text)
	}
	return all
}

// place is a part of the page that is written by this program: <!-- bench: RUN / BLOCK --> ... <!-- end -->.
var place = regexp.MustCompile(`(?s)(<!-- bench: ([^/]+) / (.*?) ?-->\n).*?(<!-- end -->)`)

// fill replaces the places of a page that are of one run; the others stay as they are. A block that the run did not print had
// nothing in it.
func fill(page, run string, blocks map[string]string) string {
	return place.ReplaceAllStringFunc(page, func(old string) string {
		m := place.FindStringSubmatch(old)
		if m[2] != run {
			return old
		}
		text, ok := blocks[m[3]]
		if !ok {
			text = "Nothing."
		}
		return m[1] + "\n" + text + "\n\n" + m[4]
	})
}
