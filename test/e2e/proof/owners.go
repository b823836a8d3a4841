package proof

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// fsGroup: neither the pod's user nor its group may write to the directory that was made; its fsGroup may.
func fsGroup(t *suite.T) {
	s := newScene(t, map[string]string{"mode": "0770"})
	s.claim("team", corev1.ReadWriteMany)
	s.once("member", "team", "id; echo words > /vol/file; mkdir /vol/dir", func(p *corev1.Pod) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{
			RunAsUser:    new(int64(1000)),
			RunAsGroup:   new(int64(3000)),
			RunAsNonRoot: new(true),
			FSGroup:      new(int64(2000)),
		}
	})
	s.ownedBy(s.volumeDir("team"), 0, 2000)
	s.ownedBy(filepath.Join(s.volumeDir("team"), "file"), 1000, 2000)
	s.drop("member")

	s.pod("stranger", "team", "echo mine > /vol/file", func(p *corev1.Pod) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1001)), RunAsGroup: new(int64(1001))}
	})
	s.eventually("the stranger to be refused", func(ctx context.Context) (bool, error) {
		p, err := s.pods().Get(ctx, "stranger", metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodFailed, err
	})
	if out := s.logs("stranger"); !strings.Contains(out, "Permission denied") {
		s.Fatalf("the stranger was told %q", out)
	}
	s.drop("stranger")
}

// userNamespace: root of the pod is nobody on the node, and root's files on the volume are root's all the same.
func userNamespace(t *suite.T) {
	s := newScene(t, nil)
	s.claim("mapped", corev1.ReadWriteMany)
	out := s.once("pod", "mapped", "cat /proc/self/uid_map; echo words > /vol/file; chown 7:8 /vol/file; stat -c %u:%g /vol/file",
		func(p *corev1.Pod) { p.Spec.HostUsers = new(false) })
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if fields := strings.Fields(lines[0]); len(fields) != 3 || fields[1] == "0" {
		s.Fatalf("the pod has no user namespace of its own: its uid_map is %q", lines[0])
	}
	if got := lines[len(lines)-1]; got != "7:8" {
		s.Fatalf("the pod gave its file to 7:8 and sees %s", got)
	}
	s.ownedBy(filepath.Join(s.volumeDir("mapped"), "file"), 7, 8)
	s.drop("pod")
}

// ownedBy checks the owner of a file on the server's side.
func (s *scene) ownedBy(path string, uid, gid uint32) {
	info, err := os.Lstat(path)
	if err != nil {
		s.Fatalf("on the server's side: %v", err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid {
		s.Fatalf("on the server's side, %s belongs to %d:%d, not %d:%d", filepath.Base(path), st.Uid, st.Gid, uid, gid)
	}
}
