package proof

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// claim makes a claim of 1 GiB on the scene's class.
func (s *scene) claim(name string, mode corev1.PersistentVolumeAccessMode, edits ...func(*corev1.PersistentVolumeClaim)) {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       claimSpec(s.class, mode),
	}
	for _, edit := range edits {
		edit(c)
	}
	if _, err := s.claims().Create(s.Context(), c, metav1.CreateOptions{}); err != nil {
		s.Fatalf("creating claim %s: %v", name, err)
	}
}

func claimSpec(class string, mode corev1.PersistentVolumeAccessMode) corev1.PersistentVolumeClaimSpec {
	return corev1.PersistentVolumeClaimSpec{
		StorageClassName: &class,
		AccessModes:      []corev1.PersistentVolumeAccessMode{mode},
		Resources:        corev1.VolumeResourceRequirements{Requests: size("1Gi")},
	}
}

func size(quantity string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(quantity)}
}

// inClass puts a claim into another class than the scene's.
func inClass(class string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = &class }
}

// ofVolume binds a claim to a volume that was written by hand.
func ofVolume(volume string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName = volume
		c.Spec.StorageClassName = new("")
	}
}

// bound waits until a claim has its volume, and returns the volume's name.
func (s *scene) bound(claim string) string {
	var volume string
	s.eventually("claim "+claim+" to be bound", func(ctx context.Context) (bool, error) {
		c, err := s.claims().Get(ctx, claim, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		volume = c.Spec.VolumeName
		return c.Status.Phase == corev1.ClaimBound, nil
	})
	return volume
}

// dropClaim deletes a claim and waits until it and, unless it is to stay, its volume are gone.
func (s *scene) dropClaim(name string) {
	c, err := s.claims().Get(s.Context(), name, metav1.GetOptions{})
	if err == nil {
		err = s.claims().Delete(s.Context(), name, metav1.DeleteOptions{})
	}
	if err != nil {
		s.Fatalf("deleting claim %s: %v", name, err)
	}
	s.eventually("claim "+name+" and its volume to go", func(ctx context.Context) (bool, error) {
		if _, err := s.claims().Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return false, err
		}
		pv, err := s.volumes().Get(ctx, c.Spec.VolumeName, metav1.GetOptions{})
		if err == nil && pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
			return true, nil
		}
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}

// volume makes a PersistentVolume by hand, for the subDir of the scene's share.
func (s *scene) volume(name, subDir string, modes []corev1.PersistentVolumeAccessMode, attributes map[string]string) {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      size("1Gi"),
			AccessModes:                   modes,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver:           driverName,
				VolumeHandle:     name,
				VolumeAttributes: map[string]string{"server": s.share.URL, "subDir": subDir},
			}},
		},
	}
	for k, v := range attributes {
		pv.Spec.CSI.VolumeAttributes[k] = v
	}
	if _, err := s.volumes().Create(s.Context(), pv, metav1.CreateOptions{}); err != nil {
		s.Fatalf("creating volume %s: %v", name, err)
	}
	s.Cleanup(func() {
		s.removed("PersistentVolume "+name, s.volumes().Delete(s.Context(), name, metav1.DeleteOptions{}))
	})
}

// many is the name of the i-th of many objects.
func many(name string, i int) string { return fmt.Sprintf("%s-%02d", name, i) }
