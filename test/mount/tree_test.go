package mount_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestTree copies Go's own source tree in, compares it, builds a program from
// it on the mount and keeps it in git there.
func TestTree(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		mount := lab.Mount(t, server.URL)
		goroot := strings.TrimSpace(lab.Run(t, time.Minute, exec.Command("go", "env", "GOROOT")))
		src := filepath.Join(goroot, "src")
		copied := filepath.Join(mount.Dir, "src")
		if !t.Run("copy", func(t *testing.T) { copyTree(t, src, mount.Dir) }) {
			return
		}
		t.Run("diff", func(t *testing.T) {
			lab.Run(t, 5*time.Minute, exec.Command("diff", "-r", "--no-dereference", src, copied))
			lab.Run(t, 5*time.Minute, exec.Command("diff", "-r", "--no-dereference", src, filepath.Join(server.Root, "src")))
		})
		t.Run("build", func(t *testing.T) { buildHTTP(t, goroot, mount.Dir) })
		// A part of the tree is as much as the time of a test run allows twice.
		part := map[string]string{"exporter": ".", "diod": "crypto"}[server.Name]
		t.Run("git", func(t *testing.T) { gitTree(t, filepath.Join(copied, part)) })
	})
}

// TestTreeWrittenBack is as much of TestTree with write-back as the time of a test run allows.
func TestTreeWrittenBack(t *testing.T) {
	server := lab.Exporter(t, lab.Dir(t))
	mount := lab.Mount(t, server.URL, "cache=loose")
	src := filepath.Join(strings.TrimSpace(lab.Run(t, time.Minute, exec.Command("go", "env", "GOROOT"))), "src/crypto")
	lab.Run(t, time.Minute, exec.Command("cp", "-a", src, mount.Dir))
	gitTree(t, filepath.Join(mount.Dir, "crypto"))
	lab.Run(t, time.Minute, exec.Command("diff", "-r", "--no-dereference", mount.Dir, server.Root))
	// What a later mount shows is what this one did, times included: those of files that were written back are the kernel's.
	const list = `cd "$1" && find . -type f -printf '%p %m %s %T@\n' | sort`
	before := lab.Shell(t, time.Minute, "/", list, mount.Dir)
	mount.Unmount(t)
	if after := lab.Shell(t, time.Minute, "/", list, lab.Mount(t, server.URL).Dir); after != before {
		t.Errorf("modes, sizes or times differ: %s", firstDifference(after, before))
	}
}

// copyTree keeps modes and times, as cp -a does, and compares those too.
func copyTree(t *testing.T, src, dir string) {
	t.Helper()
	lab.Run(t, 5*time.Minute, exec.Command("cp", "-a", src, dir))
	const list = `cd "$1" && find . -printf '%p %y %m %U:%G %s %T@\n' | grep -v '^\. ' | sort`
	// A directory's size is its file system's own affair.
	const anySize = list + ` | sed -E 's/^(.* d [0-7]+ [^ ]+) [0-9]+ /\1 - /'`
	want := lab.Shell(t, 5*time.Minute, dir, anySize, src)
	if got := lab.Shell(t, 5*time.Minute, dir, anySize, filepath.Join(dir, "src")); got != want {
		t.Errorf("modes, owners, sizes or times differ: %s", firstDifference(got, want))
	}
}

// firstDifference is the first line that differs.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got " + g[i] + ", want " + w[i]
		}
	}
	return "one is longer"
}

// buildHTTP builds net/http and all it needs with the sources, the build cache
// and the temporary directory on the mount.
func buildHTTP(t *testing.T, goroot, dir string) {
	t.Helper()
	// The tree of sources is what is tested; tools and headers come from where they are.
	root := filepath.Join(dir, "goroot")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin", "pkg", "VERSION", "go.env", "lib"} {
		if err := os.Symlink(filepath.Join(goroot, name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../src", filepath.Join(root, "src")); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(goroot, "bin", "go"), "build", "-o", filepath.Join(dir, "http.a"), "net/http")
	cmd.Dir = filepath.Join(dir, "src")
	cmd.Env = append(os.Environ(), "GOROOT="+root, "GOCACHE="+filepath.Join(dir, "cache"), "GOTMPDIR="+tmp,
		"CGO_ENABLED=0", "GOFLAGS=", "GOTOOLCHAIN=local")
	lab.Run(t, 10*time.Minute, cmd)
	if info, err := os.Stat(filepath.Join(dir, "http.a")); err != nil || info.Size() == 0 {
		t.Errorf("built nothing: %v", err)
	}
}

func gitTree(t *testing.T, dir string) {
	t.Helper()
	lab.Need(t, "git", "git")
	const script = `
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
git init --quiet
git config gc.auto 0
git add .
git commit --quiet --message=one
git status --porcelain
echo changed > new-file
git add new-file
git commit --quiet --all --message=two
git gc --quiet
git fsck --full --strict --no-progress
git status --porcelain
git checkout --quiet HEAD~1
git log --oneline | wc -l
`
	if out := strings.TrimSpace(lab.Shell(t, 10*time.Minute, dir, script)); out != "1" {
		t.Errorf("git said:\n%s", out)
	}
}
