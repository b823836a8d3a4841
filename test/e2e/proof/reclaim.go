package proof

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// reclaim: delete removes the directory, retain leaves it, archive renames it; a reclaim policy of Retain leaves the
// volume as well.
func reclaim(t *suite.T) {
	s := newScene(t, nil)
	after := map[string]func(){
		"delete":  func() { s.absent(s.volumeDir("delete")) },
		"retain":  func() { s.holds(filepath.Join(s.volumeDir("retain"), "file"), "words\n") },
		"archive": func() { s.archived("archive") },
	}
	for _, policy := range []string{"delete", "retain", "archive"} {
		class := s.storageClass(s.Namespace+"-"+policy, map[string]string{"onDelete": policy}, nil)
		s.claim(policy, corev1.ReadWriteOnce, inClass(class))
		s.once("pod-"+policy, policy, "echo words > /vol/file")
		s.drop("pod-" + policy)
		s.dropClaim(policy)
		after[policy]()
	}

	keep := s.storageClass(s.Namespace+"-keep", nil, func(c *storagev1.StorageClass) {
		c.ReclaimPolicy = new(corev1.PersistentVolumeReclaimRetain)
	})
	s.claim("keep", corev1.ReadWriteOnce, inClass(keep))
	s.once("pod-keep", "keep", "echo words > /vol/file")
	s.drop("pod-keep")
	volume := s.bound("keep")
	s.dropClaim("keep")
	s.holds(filepath.Join(s.volumeDir("keep"), "file"), "words\n")
	s.removed("PersistentVolume", s.volumes().Delete(s.Context(), volume, metav1.DeleteOptions{}))
}

// archived checks that a claim's directory has another name beside its old place, with what was in it.
func (s *scene) archived(claim string) {
	s.absent(s.volumeDir(claim))
	entries, err := os.ReadDir(filepath.Dir(s.volumeDir(claim)))
	i := slices.IndexFunc(entries, func(e os.DirEntry) bool { return strings.Contains(e.Name(), claim) })
	if err != nil || i < 0 {
		s.Fatalf("no archive of %s beside its old place: %v %v", claim, entries, err)
	}
	s.Logf("archived as %s", entries[i].Name())
	s.holds(filepath.Join(filepath.Dir(s.volumeDir(claim)), entries[i].Name(), "file"), "words\n")
}
