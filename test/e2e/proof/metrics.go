package proof

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// metrics: with a volume in use, each process of the driver is healthy and counts what it does.
func metrics(t *suite.T) {
	s := newScene(t, nil)
	s.claim("data", corev1.ReadWriteMany)
	s.running("pod", "data", on("node1"))
	s.exec("pod", "dd if=/dev/zero of=/vol/file bs=1M count=8 conv=fsync 2>/dev/null")

	for _, process := range []struct {
		component, node string
		port            int
		counts          []string
	}{
		{"controller", "", 29690, []string{"csi_plugin_operations_seconds", "go_goroutines"}},
		{"node", "node1", 29691, []string{"csi_plugin_operations_seconds"}},
		{"mounter", "node1", 29692, []string{"csi9p_session", "csi9p_volume_requests_total", s.handle("data")}},
	} {
		address := fmt.Sprintf("%s:%d", s.podIP(process.component, process.node), process.port)
		s.get(address, "/healthz")
		page := s.get(address, "/metrics")
		for _, name := range process.counts {
			if !strings.Contains(page, name) {
				s.Errorf("the %s's metrics do not have %s", process.component, name)
			}
		}
	}
	s.drop("pod")
}

// handle is the volume id of a claim's volume.
func (s *scene) handle(claim string) string {
	pv, err := s.volumes().Get(s.Context(), s.bound(claim), metav1.GetOptions{})
	if err != nil {
		s.Fatalf("looking at the volume of claim %s: %v", claim, err)
	}
	return pv.Spec.CSI.VolumeHandle
}

// podIP is the address of the first pod of a component, on the node if one is given.
func (s *scene) podIP(component, node string) string {
	for _, p := range s.driverPods(component) {
		if node == "" || p.Spec.NodeName == node {
			return p.Status.PodIP
		}
	}
	s.Fatalf("no pod of the %s on %q", component, node)
	return ""
}

// get fetches a page, which has to come with status 200.
func (s *scene) get(address, path string) string {
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		s.Fatalf("%v", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatalf("%v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.Fatalf("http://%s%s: %s %v\n%s", address, path, res.Status, err, body)
	}
	return string(body)
}
