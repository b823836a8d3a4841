package ninefs_test

import "github.com/csi-9p/csi-9p/test/lab"

// children are what tests do in processes of their own: what faults on a mapped page blocks a thread in a way that Go's
// scheduler does not know of, and must not do so in the process that has to answer.
var children = map[string]lab.Work{
	"wait for a lock":      lockWaiter,
	"map and write":        mapAndWrite,
	"map an unlinked file": mapUnlinked,
	"torture":              tortureWork,
	"use":                  use,
	"bombard":              bombard,
	"look":                 look,
	"seek":                 seek,
}
