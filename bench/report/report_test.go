package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/bench/measure"
	"github.com/csi-9p/csi-9p/bench/report"
)

func result(rates ...float64) *measure.Result {
	return &measure.Result{
		Rates: rates, Median: measure.Quantile(rates, 0.5), Low: measure.Quantile(rates, 0.25), High: measure.Quantile(rates, 0.75),
		Latency: measure.Percentiles{P50: 1500, P99: 123456, P999: 45e6},
	}
}

func sample(bench string) *report.Report {
	a, b := result(1e9, 1.2e9, 1.4e9), result(5e8, 5e8, 5e8)
	return &report.Report{
		Bench: bench, Target: "A thing", Rounds: 3, Slice: time.Second,
		Machine: report.Machine{CPU: "A CPU", Cores: 2, Kernel: "6.18.0", Memory: 24 << 30, Go: "go1.26"},
		Tables: []report.Table{{
			Title: "Reads", First: "size", Columns: []string{"off", "on <&>"}, Compared: &[2]int{0, 1}, Latency: true,
			Rows: []report.Row{{Name: "1 B", Unit: report.Bytes, Results: []*measure.Result{a, b}},
				{Name: "4 KiB", Unit: report.Operations, Results: []*measure.Result{b, a}}},
		}},
		Notes: []string{"A note."},
		Ratios: []report.Requirement{
			report.Require("on / off", 1.5, a, b, ""),
			report.Require("off / on", 1.5, b, a, ""),
			report.Require("on / none", 1.5, a, nil, "no none"),
		},
	}
}

func TestText(t *testing.T) {
	var out bytes.Buffer
	if err := sample("sweep").WriteText(&out); err != nil {
		t.Fatal(err)
	}
	const want = `A thing. Medians of 3 interleaved rounds, ± half the distance of the quartiles. A CPU, 2 cores, 24 GiB of memory, Linux 6.18.0, go1.26.

### Reads

| size  |           off |        on <&> |     off / on <&> |
|-------|--------------:|--------------:|-----------------:|
| 1 B   | 1.20 GB/s ±8% |  500 MB/s ±0% | 2.40 (2.20–2.60) |
| 4 KiB |   500 M/s ±0% | 1.20 G/s ±8% | 0.42 (0.39–0.46) |

Latency: median / 99th / 99.9th percentile.

| size  |                    off |                 on <&> |
|-------|-----------------------:|-----------------------:|
| 1 B   | 1.5 µs / 123 µs / 45 ms | 1.5 µs / 123 µs / 45 ms |
| 4 KiB | 1.5 µs / 123 µs / 45 ms | 1.5 µs / 123 µs / 45 ms |

### Notes

- A note.

### Ratios

| ratio     | at least |         measured |    met |
|-----------|---------:|-----------------:|-------:|
| on / off  |      1.5 | 2.40 (2.20–2.60) |    yes |
| off / on  |      1.5 | 0.42 (0.39–0.46) | **no** |
| on / none |      1.5 |      – (no none) |      – |
`
	squeeze := func(s string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("-", "", ":|", "|").Replace(s)), " ")
	}
	if squeeze(out.String()) != squeeze(want) {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
	width := 0
	for _, line := range strings.Split(out.String(), "\n") { // each table's lines are of one width
		if !strings.HasPrefix(line, "|") {
			width = 0
			continue
		}
		n := len([]rune(line))
		if width != 0 && n != width {
			t.Errorf("%d wide, not %d: %s", n, width, line)
		}
		width = n
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	for _, bench := range []string{"sweep", "suite"} {
		var out bytes.Buffer
		if err := sample(bench).WritePlot(&out); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		shapes := 0
		for d := xml.NewDecoder(&out); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in\n%s", bench, err, text)
			}
			if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "polyline" || e.Name.Local == "circle") {
				shapes++
			}
		}
		if shapes < 4 || strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%s: %d lines and dots in\n%s", bench, shapes, text)
		}
		if !strings.Contains(text, "on &lt;&amp;&gt;") {
			t.Errorf("%s does not name its column", bench)
		}
	}
}

func TestThisMachine(t *testing.T) {
	m := report.ThisMachine()
	if m.CPU == "" || m.Cores < 1 || m.Memory < 1<<20 || m.Kernel == "" {
		t.Errorf("%+v", m)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1536 B", 4 << 20: "4 MiB", 3 << 30: "3 GiB", 2 << 40: "2048 GiB"} {
		if got := report.Size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
