package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// stage is what the last stage of a Dockerfile makes.
type stage struct {
	user, workdir string
	entrypoint    []string
	env           []string
	labels        map[string]string
	files         map[string]bool // paths without the leading slash
}

var assignment = regexp.MustCompile(`([A-Za-z0-9_.]+)=("[^"]*"|\S+)`)

// parseDockerfile reads the last stage of the repository's Dockerfile, with this test's version and revision as its build
// arguments. It knows the instructions that are there and fails on any other.
func parseDockerfile(t *testing.T) stage {
	t.Helper()
	s := stage{labels: map[string]string{}, files: map[string]bool{}}
	for _, line := range lastStage(t) {
		instruction, rest, _ := strings.Cut(line, " ")
		switch instruction {
		case "FROM":
			if rest != "scratch" {
				t.Errorf("last stage is FROM %s, the image from scratch", rest)
			}
		case "ARG":
		case "USER":
			s.user = rest
		case "WORKDIR":
			s.workdir = rest
		case "ENTRYPOINT":
			if err := json.Unmarshal([]byte(rest), &s.entrypoint); err != nil {
				t.Errorf("ENTRYPOINT %s: %v", rest, err)
			}
		case "ENV":
			s.env = append(s.env, rest)
		case "LABEL":
			for _, m := range assignment.FindAllStringSubmatch(rest, -1) {
				s.labels[m[1]] = strings.Trim(m[2], `"`)
			}
		case "COPY":
			words := strings.Fields(rest)
			s.files[strings.TrimPrefix(words[len(words)-1], "/")] = true
		default:
			t.Errorf("the test does not know %s", instruction)
		}
	}
	return s
}

// lastStage returns the instructions of the Dockerfile's last stage, a line each, arguments filled in.
func lastStage(t *testing.T) []string {
	t.Helper()
	stages := strings.Split("\n"+dockerfile(t), "\nFROM ")
	text := "FROM " + stages[len(stages)-1]
	text = strings.NewReplacer("${VERSION}", version, "${REVISION}", revision).Replace(text)
	return strings.Split(strings.TrimSpace(text), "\n")
}

// dockerfile is the Dockerfile without comments, an instruction a line.
func dockerfile(t *testing.T) string {
	t.Helper()
	text := read(t, filepath.Join(root, "Dockerfile"))
	text = regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	return regexp.MustCompile(`\n\n+`).ReplaceAllString(text, "\n")
}

// TestDockerfileBuildsAlike holds the Dockerfile's compiler flags to those of this command, word by word.
func TestDockerfileBuildsAlike(t *testing.T) {
	words := regexp.MustCompile(`"[^"\n]*"|[^\s,()+"]+`)
	var ours []string
	source := regexp.MustCompile(`(?s)"go", "build".*?"-o"`).FindString(read(t, "binary.go"))
	for _, w := range words.FindAllString(source, -1) {
		ours = append(ours, strings.Trim(w, `"`))
	}
	run := regexp.MustCompile(`go build .* -o`).FindString(dockerfile(t))
	var theirs []string
	for _, w := range words.FindAllString(strings.ReplaceAll(run, `${VERSION}"`, `" from.version`), -1) {
		theirs = append(theirs, strings.Trim(w, `"`))
	}
	if strings.Join(ours, " ") != strings.Join(theirs, " ") {
		t.Errorf("Dockerfile builds with %q, this command with %q", theirs, ours)
	}
}

// TestDockerfileHasTheGoOfTheModule checks that the Dockerfile's Go is new enough for go.mod, which names the least.
func TestDockerfileHasTheGoOfTheModule(t *testing.T) {
	in := regexp.MustCompile(`ARG GO_VERSION=(\d+\.\d+)\.\d+\n`).FindStringSubmatch(dockerfile(t))
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	least := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))
	if in == nil || least == nil || in[1] != least[1] {
		t.Errorf("Dockerfile has Go %v, go.mod asks for %v", in, least)
	}
}
