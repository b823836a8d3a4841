package bench_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/bench/report"
	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// bench runs csi-9p bench with small work and returns what it printed. Nothing may be left of it.
func bench(t *testing.T, args ...string) string {
	t.Helper()
	temporary := lab.Dir(t)
	cmd := exec.Command(lab.Binary(t), append([]string{"bench"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	p := lab.Start(t, cmd)
	if err := p.Wait(time.Minute); err != nil {
		t.Fatalf("csi-9p bench %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	empty(t, temporary)
	return out.String()
}

func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// decode reads a report and checks that every row of it was measured.
func decode(t *testing.T, text string) report.Report {
	t.Helper()
	var r report.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if r.Machine.Cores == 0 || r.Machine.Memory == 0 || r.Machine.Kernel == "" || r.Machine.CPU == "" {
		t.Errorf("the machine: %+v", r.Machine)
	}
	for _, table := range r.Tables {
		for _, row := range table.Rows {
			if len(row.Results) != len(table.Columns) {
				t.Errorf("%s, %s: %d results for %q", table.Title, row.Name, len(row.Results), table.Columns)
			}
			for i, cell := range row.Results {
				if cell != nil && (len(cell.Rates) != r.Rounds || cell.Low <= 0 || cell.Median < cell.Low || cell.High < cell.Median || cell.Latency.P999 < cell.Latency.P50) {
					t.Errorf("%s, %s, %s: %+v", table.Title, row.Name, table.Columns[i], cell)
				}
			}
		}
	}
	return r
}

func TestSweep(t *testing.T) {
	lab.NeedRoot(t)
	dir := lab.Dir(t)
	server := lab.Exporter(t, lab.Dir(t))
	small := []string{"--json", "--rounds=2", "--slice=1ms", "--area=1Mi"}
	for name, test := range map[string]struct {
		args   []string
		target string
	}{
		"directory":                {[]string{dir}, "exported over a unix socket, mounted"},
		"directory by TCP, client": {[]string{"--transport=tcp", "--through=client", "--in-flight=4", dir}, "TCP on the loopback interface, read and written by the client itself, 4 in flight"},
		"URL":                      {[]string{server.URL}, "A share at tcp://, read and written by the client"},
		"URL, mounts":              {[]string{"--through=mount", server.URL}, "A share at tcp://, mounted"},
	} {
		t.Run(name, func(t *testing.T) {
			plot := filepath.Join(lab.Dir(t), "plot.svg")
			r := decode(t, bench(t, append([]string{"sweep", "--plot", plot}, append(small, test.args...)...)...))
			if !strings.Contains(r.Target, test.target) {
				t.Errorf("measured %q", r.Target)
			}
			if len(r.Tables) != 2 || len(r.Tables[0].Rows) != 19 || r.Tables[1].Rows[18].Name != "4 MiB" || len(r.Notes) != 4 || len(r.Ratios) != 4 {
				t.Errorf("%d tables, notes %q, ratios %+v", len(r.Tables), r.Notes, r.Ratios)
			}
			if svg, err := os.ReadFile(plot); err != nil || !bytes.Contains(svg, []byte("4 M")) {
				t.Errorf("the plot: %v %s", err, svg)
			}
		})
	}
	empty(t, dir)
	empty(t, server.Root)
}

func TestSuite(t *testing.T) {
	lab.NeedRoot(t)
	dir, other := lab.Dir(t), lab.Dir(t)
	plot := filepath.Join(lab.Dir(t), "plot.svg")
	r := decode(t, bench(t, "suite", "--json", "--rounds=1", "--slice=1ms", "--area=1Mi", "--files=20", "--plot", plot, "--against=go-fuse="+other+":"+dir, "--against=go-fuse, 1 MiB requests="+other, "--against=sshfs="+other, dir))
	rows := map[string]int{}
	for _, table := range r.Tables {
		rows[table.Title] = len(table.Rows)
		has := strings.Join(table.Columns, ", ")
		switch table.Title {
		case "Direct I/O", "Through the page cache", "Metadata", "Small files":
			if !strings.HasPrefix(has, "csi-9p") || !strings.HasSuffix(has, "local, go-fuse, go-fuse, 1 MiB requests, sshfs, plain copy") {
				t.Errorf("%s has the columns %s", table.Title, has)
			}
		}
		for _, row := range table.Rows {
			if row.Results[0] == nil {
				t.Errorf("%s, %s was not measured; %q", table.Title, row.Name, r.Notes)
			} else if table.Title == "Direct I/O" && row.Results[0].Latency.P50 <= 0 {
				t.Errorf("%s, %s has no latency", table.Title, row.Name)
			}
		}
	}
	for title, n := range map[string]int{"Direct I/O": 36, "Through the page cache": 10, "Metadata": 6, "Small files": 3, "Fairness": 1, "msize": 3, "cache": 7} {
		if rows[title] != n {
			t.Errorf("%s has %d rows, want %d", title, rows[title], n)
		}
	}
	if len(r.Ratios) != 9 {
		t.Errorf("%d ratios", len(r.Ratios))
	}
	for _, q := range r.Ratios {
		if q.Measured == nil || q.Measured.Median <= 0 || q.Met != (q.Measured.Median >= q.Wanted) {
			t.Errorf("%+v", q)
		}
	}
	if svg, err := os.ReadFile(plot); err != nil || !bytes.Contains(svg, []byte("plain copy")) {
		t.Errorf("the plot: %v %s", err, svg)
	}
	empty(t, dir)
	empty(t, other)
}

func TestSuiteOfAShare(t *testing.T) {
	lab.NeedRoot(t)
	server := lab.Exporter(t, lab.Dir(t))
	text := bench(t, "suite", "--run=sequential 4 KiB, 4 in flight|Metadata: create", "--rounds=1", "--slice=1ms", "--area=1Mi", "--files=5", server.URL)
	for _, line := range []string{"### Direct I/O", "| read, sequential 4 KiB, 4 in flight ", "| write, sequential 4 KiB, 4 in flight ", "### Metadata", "| create ", "Latency: ", "### Notes"} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("there is no line %q in\n%s", line, text)
		}
	}
	if strings.Contains(text, "| local") || strings.Contains(text, "Small files") || strings.Contains(text, "### Ratios") {
		t.Errorf("too much:\n%s", text)
	}
	empty(t, server.Root)
}

func TestWrongCommandLines(t *testing.T) {
	dir := lab.Dir(t)
	for says, args := range map[string][]string{
		"DIR|URL is missing":              {"sweep"},
		"client or mount, not \"kernel\"": {"sweep", "--through=kernel", dir},
		"at least one round":              {"sweep", "--rounds=0", dir},
		"none of unix, tcp":               {"sweep", "--transport=pigeon", dir},
		"not a size as in 64Mi":           {"sweep", "--area=huge", dir},
		"there is no command \"all\"":     {"all"},
		"must be":                         {"sweep", "ftp://host"},
	} {
		out, err := exec.Command(lab.Binary(t), append([]string{"bench"}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), says) {
			t.Errorf("%q: %v, %s; want ...%s...", args, err, out, says)
		}
	}
}
