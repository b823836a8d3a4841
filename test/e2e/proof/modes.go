package proof

import (
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// sharedByTwoNodes: one pod writes, one on the other node reads, while both run.
func sharedByTwoNodes(t *suite.T) {
	s := newScene(t, nil)
	s.claim("shared", corev1.ReadWriteMany)
	s.running("writer", "shared", on("node1"))
	s.running("reader", "shared", on("node2"))

	s.exec("writer", "dd if=/dev/urandom of=/vol/data bs=1M count=64 2>/dev/null; cd /vol; sha256sum data > sums")
	s.Logf("node2 reads what node1 wrote: %s", s.exec("reader", "cd /vol; sha256sum -c sums"))
	s.exec("reader", "echo answer > /vol/answer")
	if got := s.exec("writer", "cat /vol/answer"); got != "answer" {
		s.Fatalf("node1 reads %q where node2 wrote an answer", got)
	}
	info, err := os.Stat(filepath.Join(s.volumeDir("shared"), "data"))
	if err != nil || info.Size() != 64<<20 {
		s.Fatalf("the server's side of the data: %v, %v", info, err)
	}

	s.drop("writer", "reader")
	s.dropClaim("shared")
	s.absent(s.volumeDir("shared"))
}

// readWriteOnce: what one pod leaves the next one finds.
func readWriteOnce(t *suite.T) {
	s := newScene(t, nil)
	s.claim("disk", corev1.ReadWriteOnce)
	s.once("first", "disk", "echo kept > /vol/file; sync")
	s.drop("first")
	if got := s.once("second", "disk", "cat /vol/file"); got != "kept\n" {
		s.Fatalf("the second pod reads %q", got)
	}
	s.drop("second")
}

// readOnlyMany: two nodes read; nobody writes.
func readOnlyMany(t *suite.T) {
	s := newScene(t, nil)
	s.write("library/book", "words\n")
	s.volume(s.Namespace, "library", []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}, nil)
	s.claim("library", corev1.ReadOnlyMany, ofVolume(s.Namespace))
	for _, node := range []string{"node1", "node2"} {
		s.running(node, "library", on(node))
		if got := s.exec(node, "cat /vol/book"); got != "words" {
			s.Fatalf("%s reads %q", node, got)
		}
		s.refused(node, "echo mine > /vol/book", "Read-only file system")
	}
	s.drop("node1", "node2")
}

// readWriteOncePod: the second pod waits for the first one to go.
func readWriteOncePod(t *suite.T) {
	s := newScene(t, nil)
	s.claim("alone", corev1.ReadWriteOncePod)
	s.running("first", "alone")
	s.pod("second", "alone", "cat /vol/file")
	s.event("second", "ReadWriteOncePod")
	s.exec("first", "echo mine > /vol/file")
	s.drop("first")
	if got := s.succeeded("second"); got != "mine\n" {
		s.Fatalf("the second pod reads %q", got)
	}
	s.drop("second")
}

// readOnly: the claim's mount in one pod is read-only, in another one it is not.
func readOnly(t *suite.T) {
	s := newScene(t, nil)
	s.claim("data", corev1.ReadWriteMany)
	s.running("writer", "data", on("node1"))
	s.exec("writer", "echo words > /vol/file")
	s.running("reader", "data", on("node1"), func(p *corev1.Pod) {
		p.Spec.Volumes[0].PersistentVolumeClaim.ReadOnly = true
	})
	if got := s.exec("reader", "cat /vol/file"); got != "words" {
		s.Fatalf("the reader reads %q", got)
	}
	s.refused("reader", "echo mine > /vol/file", "Read-only file system")
	s.exec("writer", "echo more >> /vol/file")
	s.drop("writer", "reader")
}

// subPath: two pods see two directories of one volume.
func subPath(t *suite.T) {
	s := newScene(t, nil)
	s.claim("tree", corev1.ReadWriteMany)
	for _, name := range []string{"left", "right"} {
		s.once(name, "tree", "echo "+name+" > /vol/name", container(func(c *corev1.Container) {
			c.VolumeMounts[0].SubPath = "branches/" + name
		}))
		s.holds(filepath.Join(s.volumeDir("tree"), "branches", name, "name"), name+"\n")
	}
	if got := s.once("root", "tree", "cd /vol/branches; echo *"); got != "left right\n" {
		s.Fatalf("the volume's root shows %q", got)
	}
	s.drop("left", "right", "root")
}

// staticVolume: a directory that was there before, by a PersistentVolume written by hand.
func staticVolume(t *suite.T) {
	s := newScene(t, nil)
	s.write("old/place/file", "old\n")
	s.volume(s.Namespace, "old/place", []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, map[string]string{"msize": "256Ki"})
	s.claim("old", corev1.ReadWriteMany, ofVolume(s.Namespace))
	if got := s.once("pod", "old", "cat /vol/file; echo new > /vol/new"); got != "old\n" {
		s.Fatalf("the pod reads %q", got)
	}
	s.holds(s.path("old/place/new"), "new\n")
	s.drop("pod")
	s.dropClaim("old")
	s.holds(s.path("old/place/file"), "old\n")
}

// write makes a file on the server's side of the share.
func (s *scene) write(name, content string) {
	path := s.path(name)
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o666)
	}
	if err != nil {
		s.Fatalf("writing on the server's side: %v", err)
	}
}

// holds checks a file on the server's side.
func (s *scene) holds(path, content string) {
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		s.Fatalf("on the server's side, %s holds %q, not %q (%v)", filepath.Base(path), got, content, err)
	}
}

// absent checks that nothing of the name is left on the server's side.
func (s *scene) absent(path string) {
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		s.Fatalf("on the server's side, %s is still there (%v)", filepath.Base(path), err)
	}
}

// refused runs a script that has to fail with the message.
func (s *scene) refused(pod, script, message string) {
	out, err := s.try(pod, "{ "+script+"; } 2>&1")
	if err == nil {
		s.Fatalf("in pod %s, nothing refused: %s", pod, script)
	}
	if !strings.Contains(out+err.Error(), message) {
		s.Fatalf("in pod %s, %s: %v %s: does not say %q", pod, script, err, out, message)
	}
}
