package proof

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// wrongParameters: whoever looks at the claim or the pod reads which key is wrong.
func wrongParameters(t *suite.T) {
	s := newScene(t, nil)
	wrong := []struct{ name, key, value, says string }{
		{"unknown-key", "mszie", "1Mi", "mszie"},
		{"ill-typed", "msize", "much", "msize"},
		{"out-of-range", "mode", "99999", "mode"},
		{"climbing", "subDir", "../elsewhere", "subDir"},
		{"no-such-tree", "aname", "/nowhere", "/nowhere"},
	}
	for _, w := range wrong {
		class := s.storageClass(s.Namespace+"-"+w.name, map[string]string{w.key: w.value}, nil)
		s.claim(w.name, corev1.ReadWriteMany, inClass(class))
		s.event(w.name, w.says)
	}

	s.volume(s.Namespace, "nowhere", []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, nil)
	s.claim("no-such-directory", corev1.ReadWriteMany, ofVolume(s.Namespace))
	s.pod("lost", "no-such-directory", "true")
	s.event("lost", "nowhere")

	s.volume(s.Namespace+"-typo", ".", []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, map[string]string{"chache": "none"})
	s.claim("typo", corev1.ReadWriteMany, ofVolume(s.Namespace+"-typo"))
	s.pod("mistyped", "typo", "true")
	s.event("mistyped", "chache")
	s.drop("lost", "mistyped")
}
