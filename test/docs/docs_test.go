// Package docs_test holds the pages for people against the program: links and anchors lead somewhere, parameters,
// flags and messages are what the binary has, examples are accepted, comparisons name their sources.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// root is the top of the repository.
const root = "../.."

// page is a Markdown file.
type page struct {
	path  string // from the top of the repository
	lines []line
}

// line is a line of a page.
type line struct {
	text   string
	number int
	code   bool // inside a fenced block
}

// pages reads every Markdown file of the repository.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "testdata"}, d.Name())) {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".md") {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			all = append(all, readPage(t, name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func readPage(t *testing.T, path string) page {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	p := page{path: path}
	fence := ""
	for i, text := range strings.Split(string(data), "\n") {
		mark := regexp.MustCompile("^ *(```+|~~~+)").FindStringSubmatch(text)
		switch {
		case mark != nil && fence == "":
			fence = mark[1]
		case mark != nil && strings.HasPrefix(mark[1], fence):
			fence = ""
		default:
			p.lines = append(p.lines, line{text, i + 1, fence != ""})
		}
	}
	return p
}

// blocks returns the fenced blocks of the page, each as one string.
func (p page) blocks() []string {
	var all []string
	for i, l := range p.lines {
		switch {
		case !l.code:
		case i > 0 && p.lines[i-1].code && p.lines[i-1].number == l.number-1:
			all[len(all)-1] += "\n" + l.text
		default:
			all = append(all, l.text)
		}
	}
	return all
}

// table returns the rows of the first table below a line that contains under, without the header, by trimmed cells.
func (p page) table(t *testing.T, under string) (rows [][]string) {
	t.Helper()
	below := false
	for _, l := range p.lines {
		below = below || strings.Contains(l.text, under)
		switch {
		case below && strings.HasPrefix(l.text, "|"):
			rows = append(rows, cells(l.text))
		case len(rows) > 0:
			return rows[2:]
		}
	}
	if len(rows) < 3 {
		t.Fatalf("%s: no table below %q", p.path, under)
	}
	return rows[2:]
}

func cells(row string) []string {
	parts := strings.Split(strings.Trim(row, "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

var span = regexp.MustCompile("`([^`]+)`")

// spans returns the code spans of a text.
func spans(text string) []string {
	var all []string
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}
