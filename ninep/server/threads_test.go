package server_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// TestHostThatHangs: requests that the host keeps waiting take a bounded number of threads, however many connections they came by,
// and are all answered once it goes on.
func TestHostThatHangs(t *testing.T) {
	const running, connections, writes = 8, 4, 50
	e := newExport(t, server.Options{})
	e.server.LimitRunning(running)
	e.write("held", strings.Repeat("-", 64), 0o666)
	clients := make([]*client, connections)
	held := make([]ninep.FID, connections)
	for i := range clients {
		clients[i] = e.client(0)
		held[i] = clients[i].open(ninep.OpenReadWrite, "held")
	}
	letGo := holdFile(t, e.path("held"))
	before := threads(t)
	for i, c := range clients {
		for tag := range uint16(writes) {
			c.send(tag, &ninep.Twrite{Fid: held[i], Data: []byte("x")})
		}
	}
	for end := time.Now().Add(10 * time.Second); e.server.Stats().InFlight < connections*writes; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d requests have arrived", e.server.Stats().InFlight)
		}
	}
	if now := threads(t); now > before+running+16 { // the runtime has some of its own
		t.Errorf("%d threads, %d before the requests that wait", now, before)
	}
	letGo()
	for _, c := range clients {
		for range writes {
			if _, reply := c.receive(); reply.Type() != ninep.TypeRwrite {
				t.Errorf("answered %+v", reply)
			}
		}
	}
}

// threads is how many the process has.
func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
