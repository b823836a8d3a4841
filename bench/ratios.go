package bench

import (
	"fmt"
	"strings"

	"github.com/csi-9p/csi-9p/bench/report"
)

// The names of baselines that ratios are about: go-fuse's loopback file system as it comes and with requests as large as ours,
// and sshfs.
const goFuse, goFuseLarge, sshfs = "go-fuse", "go-fuse, 1 MiB requests", "sshfs"

// goal is a ratio that the mount is held to in every row of some kind, against one column.
type goal struct {
	name    string // of the rows, in words
	against string
	wanted  float64
	rows    func(table, row string) bool
}

var goals = []goal{
	{"sequential 1 MiB reads, direct I/O", plain, 0.5, directIO("read, sequential 1 MiB")},
	{"sequential 1 MiB reads, direct I/O", goFuse, 1.5, directIO("read, sequential 1 MiB")},
	{"sequential 1 MiB reads, direct I/O", goFuseLarge, 1.5, directIO("read, sequential 1 MiB")},
	{"sequential 1 MiB writes, direct I/O", goFuse, 1.5, directIO("write, sequential 1 MiB")},
	{"sequential 1 MiB writes, direct I/O", goFuseLarge, 1.5, directIO("write, sequential 1 MiB")},
	{"4 KiB random reads", goFuse, 1.5, directIO("read, random 4 KiB, 16 in flight")},
	{"4 KiB random reads", goFuseLarge, 1.5, directIO("read, random 4 KiB, 16 in flight")},
	{"stat without attribute cache", goFuse, 0.5, func(table, row string) bool { return table == "Metadata" && strings.HasPrefix(row, "stat") }},
	{"every operation", sshfs, 3, func(string, string) bool { return true }},
}

func directIO(prefix string) func(table, row string) bool {
	return func(table, row string) bool { return table == "Direct I/O" && strings.HasPrefix(row, prefix) }
}

// ratios says of each goal which of its rows is the least, and what that is.
func (s *suite) ratios() []report.Requirement {
	var all []report.Requirement
	for _, g := range goals {
		worst := report.Require(g.name+", "+ours+" / "+g.against, g.wanted, nil, nil, "not measured")
		for _, t := range s.report.Tables {
			for _, r := range t.Rows {
				a, b := t.Cell(&r, ours), t.Cell(&r, g.against)
				if !g.rows(t.Title, r.Name) || a == nil || b == nil {
					continue
				}
				if q := report.Require(fmt.Sprintf("%s, %s / %s; least: %s", g.name, ours, g.against, r.Name), g.wanted, a, b, ""); worst.Measured == nil || q.Measured.Median < worst.Measured.Median {
					worst = q
				}
			}
		}
		if worst.Measured != nil || s.Run == nil { // what was not asked for is not missed
			all = append(all, worst)
		}
	}
	return all
}
