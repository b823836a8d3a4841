package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMessages makes sure that the texts and log lines which docs/troubleshooting.md quotes, in the tables whose first
// column is headed text or line, are still the program's: what stands between two … is part of a string of its source,
// or the kernel's name of an error, or several of them joined by ": " as wrapped errors are.
func TestMessages(t *testing.T) {
	known := append(literalStrings(t), errnoTexts()...)
	quoted := false
	seen := 0
	for _, l := range readPage(t, "docs/troubleshooting.md").lines {
		if !strings.HasPrefix(l.text, "|") {
			quoted = false
			continue
		}
		first := cells(l.text)[0]
		if first == "text" || first == "line" {
			quoted = true
			continue
		}
		if !quoted || strings.HasPrefix(first, "---") {
			continue
		}
		messages := spans(first)
		if len(messages) != 1 || len(messages[0])+2 != len(first) {
			t.Errorf("line %d: %s is not one quoted text", l.number, first)
			continue
		}
		seen++
		for _, part := range strings.Split(messages[0], "…") {
			if part = strings.Trim(part, " :;,={}$"); !contained(known, part) && !contained(known, strings.Split(part, ": ")...) {
				t.Errorf("line %d: nothing in the program says %q", l.number, part)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d quoted texts were found", seen)
	}
}

// contained reports whether each part is in one of the strings.
func contained(known []string, parts ...string) bool {
	for _, part := range parts {
		if !slices.ContainsFunc(known, func(s string) bool { return strings.Contains(s, part) }) {
			return false
		}
	}
	return true
}

// literalStrings returns the strings of the program's sources, those put together by + as one.
func literalStrings(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || path == filepath.Join(root, "test")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if e, is := n.(ast.Expr); is {
				if s, constant := constantString(e); constant {
					all = append(all, s)
					return false
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func constantString(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		x, left := constantString(e.X)
		y, right := constantString(e.Y)
		return x + y, e.Op == token.ADD && left && right
	}
	return "", false
}

func errnoTexts() []string {
	var all []string
	for n := unix.Errno(1); n < 134; n++ {
		all = append(all, n.Error())
	}
	return all
}
