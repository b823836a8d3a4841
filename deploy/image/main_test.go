package main_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	root     = "../.."
	version  = "v1.2.3-test"
	revision = "0123456789abcdef0123456789abcdef01234567"
	epoch    = "1700000000" // 2023-11-14T22:13:20Z
	repo     = "ghcr.io/csi-9p/csi-9p"
)

var platforms = []string{"amd64", "arm64"}

// scratch is a directory of the whole run.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "csi-9p-image-test-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

// program is the command under test, built.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "image-command")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// command runs the command under test and returns what it prints on stdout.
func command(env []string, args ...string) (string, error) {
	path, err := program()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return string(out), nil
}

// built is the output directory of one build of this tree for both platforms.
var built = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "first")
	_, err := command(nil, "-source", root, "-output", dir, "-version", version, "-revision", revision)
	return dir, err
})

func output(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReproducible(t *testing.T) {
	first := output(t)
	clone := filepath.Join(t.TempDir(), "elsewhere", "csi-9p")
	copyContext(t, clone)
	second := t.TempDir()
	for _, arch := range platforms {
		env := []string{"HOME=" + t.TempDir(), "GOFLAGS=-race", "TZ=Asia/Tokyo"}
		env = append(env, "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOCACHE="+goEnv(t, "GOCACHE"))
		if arch == goEnv(t, "GOARCH") { // nothing compiled before is used again; once, because it takes its time
			env = append(env, "GOCACHE="+t.TempDir())
		}
		_, err := command(env, "-source", clone, "-output", second, "-version", version, "-revision", revision, "-platforms", "linux/"+arch)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, filepath.Join(first, "csi-9p-image-"+arch+".tar"), filepath.Join(second, "csi-9p-image-"+arch+".tar"))
	}
	if _, err := command(nil, "-source", clone, "-output", second, "-version", version, "-revision", revision); err != nil {
		t.Fatal(err)
	}
	compareTrees(t, first, second)
}

func TestTimeComesFromTheEnvironmentOrTheCommit(t *testing.T) {
	for _, test := range []struct{ name, epoch, want string }{
		{"not a number", "yesterday", "SOURCE_DATE_EPOCH"},
		{"no clone", "", "set SOURCE_DATE_EPOCH"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := command([]string{"SOURCE_DATE_EPOCH=" + test.epoch}, "-source", t.TempDir(), "-version", version, "-revision", revision)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want it to say %q", err, test.want)
			}
		})
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"version that can be no tag", []string{"-version", "v1 2"}, "can be no tag"},
		{"no version and no clone", []string{"-source", t.TempDir()}, "give --version"},
		{"no revision and no clone", []string{"-source", t.TempDir(), "-version", version}, "give --revision"},
		{"name without a registry", []string{"-version", version, "-name", "csi-9p:v1"}, "--name"},
		{"no such platform", []string{"-version", version, "-platforms", "linux/amd64/v1/x/y"}, "--platforms"},
		{"too much", []string{"all"}, "one argument too many"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := command(nil, append([]string{"-source", root, "-output", t.TempDir()}, test.args...)...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want it to say %q", err, test.want)
			}
		})
	}
}

// copyContext copies what `docker build` would be sent: the tree without what .dockerignore names.
func copyContext(t *testing.T, to string) {
	t.Helper()
	ignored := map[string]bool{}
	for _, line := range strings.Fields(read(t, filepath.Join(root, ".dockerignore"))) {
		ignored[line] = true
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case ignored[rel] && d.IsDir():
			return filepath.SkipDir
		case ignored[rel]:
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// compareTrees fails unless two directories hold the same files of the same bytes.
func compareTrees(t *testing.T, a, b string) {
	t.Helper()
	names := func(dir string) []string {
		var names []string
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				rel, _ := filepath.Rel(dir, path)
				names = append(names, rel)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	in, out := names(a), names(b)
	if fmt.Sprint(in) != fmt.Sprint(out) {
		t.Fatalf("files differ:\n%v\n%v", in, out)
	}
	for _, name := range in {
		compare(t, filepath.Join(a, name), filepath.Join(b, name))
	}
}

func compare(t *testing.T, a, b string) {
	t.Helper()
	if read(t, a) != read(t, b) {
		t.Errorf("%s differs from build to build", filepath.Base(a))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
