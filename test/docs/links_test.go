package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	inline     = regexp.MustCompile(`\]\(([^()\s]+(?:\([^()]*\))?)\)`)
	definition = regexp.MustCompile(`^\[([^\]^]+)\]: +(\S+)`)
	shortcut   = regexp.MustCompile(`\[([^\]]+)\](?:[^\[(:]|$)`) // a link only if there is a definition
	reference  = regexp.MustCompile(`\]\[([^\]]+)\]`)
	heading    = regexp.MustCompile(`^#{1,6} +(.*?)(?: +#+)? *$`)
	linked     = regexp.MustCompile(`\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])`)
)

func TestLinks(t *testing.T) {
	for _, p := range pages(t) {
		defined := map[string]bool{}
		used, mentioned := map[string]bool{}, map[string]bool{}
		for _, l := range p.lines {
			if l.code {
				continue
			}
			text := span.ReplaceAllString(l.text, "")
			for _, m := range inline.FindAllStringSubmatch(text, -1) {
				checkLink(t, p, l, m[1])
			}
			if m := definition.FindStringSubmatch(l.text); m != nil {
				if defined[m[1]] {
					t.Errorf("%s:%d: %s is defined twice", p.path, l.number, m[1])
				}
				defined[m[1]] = true
				checkLink(t, p, l, m[2])
				continue
			}
			for _, m := range reference.FindAllStringSubmatch(text, -1) {
				used[m[1]] = true
			}
			for _, m := range shortcut.FindAllStringSubmatch(text, -1) {
				mentioned[m[1]] = true
			}
		}
		for name := range used {
			if !defined[name] {
				t.Errorf("%s: the link [%s] is defined nowhere on the page", p.path, name)
			}
		}
		for name := range defined {
			if !used[name] && !mentioned[name] {
				t.Errorf("%s: the link definition [%s] is not used", p.path, name)
			}
		}
	}
}

// checkLink checks that a link into the repository leads to a file, and to a heading where it names one.
func checkLink(t *testing.T, p page, l line, target string) {
	t.Helper()
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return
	}
	path, anchor, _ := strings.Cut(target, "#")
	to := p.path
	if path != "" {
		to = filepath.Join(filepath.Dir(p.path), path)
	}
	info, err := os.Stat(filepath.Join(root, to))
	switch {
	case err != nil:
		t.Errorf("%s:%d: %s leads nowhere: %v", p.path, l.number, target, err)
	case strings.HasPrefix(to, ".."):
		t.Errorf("%s:%d: %s leads out of the repository", p.path, l.number, target)
	case anchor != "" && (info.IsDir() || !strings.HasSuffix(to, ".md")):
		t.Errorf("%s:%d: %s has an anchor, and %s no headings", p.path, l.number, target, to)
	case anchor != "" && !anchors(readPage(t, to))[anchor]:
		t.Errorf("%s:%d: %s has no heading #%s", p.path, l.number, to, anchor)
	}
}

// anchors returns the names that GitHub gives to a page's headings.
func anchors(p page) map[string]bool {
	names := map[string]bool{}
	for _, l := range p.lines {
		m := heading.FindStringSubmatch(l.text)
		if l.code || m == nil {
			continue
		}
		text := strings.ToLower(linked.ReplaceAllString(m[1], "$1"))
		text = regexp.MustCompile(`[^\pL\pN_ -]`).ReplaceAllString(text, "")
		names[strings.ReplaceAll(text, " ", "-")] = true
	}
	return names
}

// TestIndex makes sure that whoever reads the README finds every page of docs.
func TestIndex(t *testing.T) {
	index := map[string]bool{}
	for _, l := range readPage(t, "README.md").lines {
		for _, m := range inline.FindAllStringSubmatch(l.text, -1) {
			path, _, _ := strings.Cut(m[1], "#")
			index[path] = true
		}
	}
	for _, p := range pages(t) {
		if filepath.Dir(p.path) == "docs" && !index[p.path] {
			t.Errorf("README.md does not link %s", p.path)
		}
	}
}
