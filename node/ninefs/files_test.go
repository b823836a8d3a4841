package ninefs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

// children are what tests do in processes of their own.
var children = map[string]lab.Work{}

func TestReadWrite(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB: more than one request
		check(t, os.WriteFile(m.path("f"), data, 0o640))
		for _, path := range []string{m.path("f"), filepath.Join(s.root, "f")} {
			got, err := os.ReadFile(path)
			check(t, err)
			if !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes that are not those written", path, len(got))
			}
		}
		if st := stat(t, m.path("f")); st.Size != int64(len(data)) || st.Mode&0o777 != 0o640 {
			t.Errorf("size %d, mode %o", st.Size, st.Mode)
		}
	})
}
