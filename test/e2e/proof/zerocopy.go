package proof

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// zeroCopy: of two classes on one share, what a pod writes and reads on the one's volume is placed or spliced, and on the
// other's copied.
func zeroCopy(t *suite.T) {
	s := newScene(t, nil)
	const mib = 8
	whole, copied := []string{`path="placed",reason=""`, `path="spliced",reason=""`}, []string{`path="copied",reason="off"`}
	for _, c := range []struct {
		mode        string
		path, other []string
	}{
		{"auto", whole, copied},
		{"off", copied, whole},
	} {
		class := s.storageClass(s.Namespace+"-"+c.mode, map[string]string{"zeroCopy": c.mode, "cache": "none"}, nil)
		s.claim(c.mode, corev1.ReadWriteMany, inClass(class))
		s.running(c.mode, c.mode, on("node1"))
		s.exec(c.mode, fmt.Sprintf("dd if=/dev/zero of=/vol/file bs=1M count=%d conv=fsync 2>/dev/null; cat /vol/file >/dev/null", mib))
		page := s.get(fmt.Sprintf("%s:%d", s.podIP("mounter", "node1"), 29692), "/metrics")
		for _, direction := range []string{"sent", "received"} {
			took := s.payload(page, c.mode, direction, c.path)
			never := s.payload(page, c.mode, direction, c.other)
			s.Logf("zeroCopy %s: %s %d bytes with %s, %d with %s", c.mode, direction, took, c.path, never, c.other)
			if took < mib<<20 || never != 0 {
				s.Errorf("zeroCopy %s: not all of the %d MiB %s went with %s", c.mode, mib, direction, c.path)
			}
		}
	}
	s.drop("auto", "off")
}

// payload is how many bytes of a claim's payload went some ways, by a page of metrics.
func (s *scene) payload(page, claim, direction string, paths []string) (sum int64) {
	for _, path := range paths {
		sum += s.payloadBy(page, claim, direction, path)
	}
	return sum
}

func (s *scene) payloadBy(page, claim, direction, path string) int64 {
	series := fmt.Sprintf("csi9p_volume_payload_bytes_total{direction=%q,%s,volume=%q} ", direction, path, s.handle(claim))
	_, rest, found := strings.Cut(page, series)
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if !found || err != nil {
		s.Fatalf("the mounter's metrics have no %s: %v", series, err)
	}
	return int64(n)
}
