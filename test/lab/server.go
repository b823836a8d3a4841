package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Server is a 9P server, in a process of its own unless it is a [GivenServer].
type Server struct {
	*Process
	Name string // "exporter", "diod" or, of a [GivenServer], the scheme of its URL
	URL  string // whose root is the exported directory
	Root string // the exported directory
}

// Diod runs Debian's diod on a directory until the test ends: version 1.0.24,
// whose msize is 64 KiB, that knows neither Trenameat nor Tunlinkat, and whose
// locks cover whole files. It runs with SIGPIPE ignored, of which it would die
// when a client leaves while answers are due.
func Diod(tb testing.TB, root string) *Server {
	tb.Helper()
	diod := Need(tb, "diod", "diod")
	cmd := exec.Command("sh", "-c", `trap "" PIPE; exec "$@"`, "sh", diod, "--foreground", "--no-auth", "--no-userdb", "--logdest", "stderr",
		"--config-file", "/dev/null", "--listen", "127.0.0.1:0", "--export", root)
	return serve(tb, "diod", cmd, root, root)
}

// GivenServer is the server whose URL is in the environment as
// CSI9P_TEST_SERVER, nil if there is none: one that runs already, in whose
// empty share a test may do as it likes. Its directory and its process are out
// of sight, so Root is "" and Process nil.
func GivenServer() *Server {
	url := os.Getenv("CSI9P_TEST_SERVER")
	if url == "" {
		return nil
	}
	name, _, _ := strings.Cut(url, ":")
	return &Server{Name: name, URL: url}
}

// Exporter runs `csi-9p serve` on a directory until the test ends.
func Exporter(tb testing.TB, root string, flags ...string) *Server {
	tb.Helper()
	return ExporterAt(tb, "tcp://127.0.0.1:0", root, flags...)
}

// ExporterAt is Exporter at an address of the caller's choice.
func ExporterAt(tb testing.TB, url, root string, flags ...string) *Server {
	tb.Helper()
	args := append([]string{"serve", "--listen", url}, flags...)
	s := serve(tb, "exporter", exec.Command(Binary(tb), append(args, root)...), root, "")
	if strings.HasPrefix(url, "tls:") {
		s.URL = "tls:" + strings.TrimPrefix(s.URL, "tcp:")
	}
	return s
}

// serve starts a server on a port of the kernel's choice and returns once it
// listens. aname is what attaches to root.
func serve(tb testing.TB, name string, cmd *exec.Cmd, root, aname string) *Server {
	tb.Helper()
	p := Start(tb, cmd)
	var port int
	Eventually(tb, hang, func() (err error) {
		select {
		case <-p.Ended():
			tb.Fatalf("%s ended: %v\n%s", cmd, p.err, p.Output())
		default:
		}
		port, err = listenPort(p.PID())
		return err
	})
	tb.Cleanup(func() {
		select {
		case <-p.Ended():
			if !p.killed.Load() {
				tb.Errorf("the server ended by itself, which callers wait for or fail by: %v", p.err)
			}
		default:
		}
	})
	return &Server{Process: p, Name: name, Root: root, URL: fmt.Sprintf("tcp://127.0.0.1:%d%s", port, aname)}
}
