package docs_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

// verbs are the commands of the binary, "bench" and "bench sweep", with their flags, as --help has them.
func verbs(t *testing.T) map[string][]string {
	t.Helper()
	binary := lab.Binary(t)
	help := func(args ...string) string {
		out, err := exec.Command(binary, append(args, "--help")...).Output()
		if err != nil {
			t.Fatalf("csi-9p %s --help: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	all := map[string][]string{}
	var add func(verb string)
	add = func(verb string) {
		text := help(strings.Fields(verb)...)
		_, commands, _ := strings.Cut(text, "Available Commands:\n")
		commands, _, _ = strings.Cut(commands, "\n\n")
		for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(commands, -1) {
			if m[1] != "help" {
				add(strings.TrimSpace(verb + " " + m[1]))
			}
		}
		_, list, _ := strings.Cut(text, "Flags:\n")
		for _, flag := range regexp.MustCompile(`(?m)^ +(?:(-\w), )?(--[\w-]+)`).FindAllStringSubmatch(list, -1) {
			all[verb] = append(all[verb], flag[2])
			if flag[1] != "" {
				all[verb] = append(all[verb], flag[1])
			}
		}
	}
	add("")
	delete(all, "")
	if len(all) < 6 {
		t.Fatalf("only %d commands were found", len(all))
	}
	return all
}

var (
	command = regexp.MustCompile(`(?:^(?:\$ |sudo )?| -- )(?:\S*/)?csi-9p ([a-z]+)\b((?: [a-z]+)?)(.*)`)
	flag    = regexp.MustCompile(`(?:^|\s)(--[a-z][\w-]*|-[a-z]\b)`)
)

// TestCommands makes sure that every command line of the pages names a verb and flags that the binary has.
func TestCommands(t *testing.T) {
	known := verbs(t)
	seen := 0
	for _, p := range pages(t) {
		for _, text := range commandTexts(p) {
			for _, m := range command.FindAllStringSubmatch(text, -1) {
				verb := m[1]
				if _, ok := known[verb+m[2]]; ok {
					verb += m[2]
				}
				flags, ok := known[verb]
				if !ok {
					t.Errorf("%s: there is no command csi-9p %s", p.path, verb)
					continue
				}
				seen++
				for _, f := range flag.FindAllStringSubmatch(m[3], -1) {
					if !slices.Contains(flags, f[1]) {
						t.Errorf("%s: csi-9p %s has no flag %s", p.path, verb, f[1])
					}
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// commandTexts returns the pieces of a page in which a command line can be: lines of code with those that continue
// them, and code spans.
func commandTexts(p page) []string {
	var all []string
	for _, l := range p.lines {
		text, _, _ := strings.Cut(l.text, " # ")
		switch {
		case !l.code:
			all = append(all, spans(l.text)...)
		case len(all) > 0 && strings.HasSuffix(all[len(all)-1], "\\"):
			all[len(all)-1] = strings.TrimSuffix(all[len(all)-1], "\\") + " " + text
		default:
			all = append(all, text)
		}
	}
	return all
}

// TestFlags holds docs/commands.md against the binary. The headings name verbs; the sections have every flag of their
// verbs and no other. Flags that all verbs have are above the first section.
func TestFlags(t *testing.T) {
	known := verbs(t)
	documented := map[string][]string{}
	section := slices.Collect(maps.Keys(known))
	for _, l := range readPage(t, "docs/commands.md").lines {
		if names, is := strings.CutPrefix(l.text, "## csi-9p "); is {
			section = strings.Split(names, ", ")
			continue
		}
		for _, s := range spans(l.text) {
			name, _, _ := strings.Cut(s, " ")
			for _, verb := range section {
				if strings.HasPrefix(name, "-") {
					documented[verb] = append(documented[verb], name)
				}
			}
		}
	}
	for verb, flags := range known {
		for _, name := range flags {
			if name != "-h" && !slices.Contains(documented[verb], name) {
				t.Errorf("docs/commands.md does not have the flag %s of csi-9p %s", name, verb)
			}
		}
		for _, name := range documented[verb] {
			if !slices.Contains(flags, name) {
				t.Errorf("docs/commands.md has a flag %s of csi-9p %s that does not exist", name, verb)
			}
		}
	}
}

// TestMakeTargets makes sure that every target that a page tells to make exists.
func TestMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range pages(t) {
		for _, text := range commandTexts(p) {
			m := regexp.MustCompile(`^make ([a-z][\w-]*)`).FindStringSubmatch(text)
			if m == nil {
				continue
			}
			seen++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
				t.Errorf("%s: the Makefile has no target %s", p.path, m[1])
			}
		}
	}
	if seen == 0 {
		t.Error("no page tells to make anything")
	}
}
