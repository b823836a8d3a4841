package mount_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestSQLite works on a database in both journal modes; WAL needs shared
// memory mapped from the mount, and both need byte-range locks.
func TestSQLite(t *testing.T) {
	lab.Need(t, "sqlite3", "sqlite3")
	forServers(t, func(t *testing.T, server *lab.Server) {
		cache := map[string]string{"exporter": "loose", "diod": "close-to-open"}[server.Name] // TestSQLiteTwoMounts has the other
		mount := lab.Mount(t, server.URL, "cache="+cache)
		for _, mode := range []string{"wal", "delete"} {
			t.Run(mode, func(t *testing.T) {
				db := mount.Dir + "/" + mode + ".db"
				sqliteLife(t, db, mode)
				sqliteWriters(t, []string{db, db, db, db})
			})
		}
	})
}

// TestSQLiteTwoMounts has writers on two mounts of one share, which exclude
// each other by the server's locks alone. Those of diod cover whole files,
// which is not what sqlite asks for.
func TestSQLiteTwoMounts(t *testing.T) {
	lab.Need(t, "sqlite3", "sqlite3")
	server := lab.Exporter(t, lab.Dir(t))
	a, b := lab.Mount(t, server.URL).Dir+"/two.db", lab.Mount(t, server.URL).Dir+"/two.db"
	sqliteLife(t, a, "delete")
	sqliteWriters(t, []string{a, b, a, b})
}

// sqlite runs statements and returns what they print.
func sqlite(t *testing.T, db, statements string) string {
	t.Helper()
	cmd := exec.Command("sqlite3", "-bail", db)
	cmd.Stdin = strings.NewReader(".timeout 60000\n" + statements)
	return strings.TrimSpace(lab.Run(t, 2*time.Minute, cmd))
}

func sqliteLife(t *testing.T, db, mode string) {
	t.Helper()
	got := sqlite(t, db, `
PRAGMA journal_mode = `+mode+`;
CREATE TABLE t (id INTEGER PRIMARY KEY, who INTEGER, text BLOB);
CREATE INDEX i ON t (who, text);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
  INSERT INTO t SELECT i, 0, randomblob(i % 1000) FROM n;
UPDATE t SET text = randomblob(2000) WHERE id % 7 = 0;
DELETE FROM t WHERE id % 3 = 0;
VACUUM;
PRAGMA integrity_check;
SELECT count(*) FROM t;`)
	if want := mode + "\nok\n3334"; got != want {
		t.Fatalf("sqlite said\n%s\nwant\n%s", got, want)
	}
	if got := sqlite(t, db, "PRAGMA journal_mode; PRAGMA integrity_check;"); !strings.HasSuffix(got, "\nok") {
		t.Fatalf("reopened: %s", got)
	}
}

// sqliteWriters inserts from one process a path at once.
func sqliteWriters(t *testing.T, paths []string) {
	t.Helper()
	const each = 15
	var writers []*lab.Process
	for who, db := range paths {
		var script strings.Builder
		script.WriteString(".timeout 60000\n")
		for i := range each {
			fmt.Fprintf(&script, "BEGIN IMMEDIATE; INSERT INTO t (who, text) VALUES (%d, randomblob(%d)); COMMIT;\n", who+1, i*50)
		}
		cmd := exec.Command("sqlite3", "-bail", db)
		cmd.Stdin = strings.NewReader(script.String())
		writers = append(writers, lab.Start(t, cmd))
	}
	for _, writer := range writers {
		if err := writer.Wait(2 * time.Minute); err != nil {
			t.Fatalf("writer: %v\n%s", err, writer.Output())
		}
	}
	for _, db := range paths[:2] {
		got := sqlite(t, db, "PRAGMA integrity_check; SELECT count(*) FROM t WHERE who > 0;")
		if want := fmt.Sprintf("ok\n%d", each*len(paths)); got != want {
			t.Errorf("after the writers: %q, want %q", got, want)
		}
	}
}
