package proof

import "github.com/csi-9p/csi-9p/test/e2e/suite"

func podRuns(t *suite.T) {
	for _, n := range t.Cluster.Nodes {
		err := t.Cluster.Apply(t.Context(), `
apiVersion: v1
kind: Pod
metadata: {name: `+n.Name+`, namespace: `+t.Namespace+`}
spec:
  nodeName: `+n.Name+`
  terminationGracePeriodSeconds: 0
  containers:
    - {name: main, image: docker.io/library/busybox:lab, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}
`)
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := t.Cluster.Kubectl(t.Context(), "wait", "--namespace", t.Namespace, "--for=condition=Ready", "pod", "--all", "--timeout=1m"); err != nil {
		t.Fatal(err)
	}
	for _, n := range t.Cluster.Nodes {
		if out, err := t.Cluster.Exec(t.Context(), t.Namespace, n.Name, "", "id"); err != nil {
			t.Error(err)
		} else {
			t.Log(out)
		}
	}
}
