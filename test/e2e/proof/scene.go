package proof

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/csi-9p/csi-9p/test/e2e/cluster"
	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// What the repository's manifests install.
const (
	driverName      = "csi-9p.dev"
	driverNamespace = "csi-9p-system"
)

// scene is what most proofs play in: a share of their own, a StorageClass that puts volumes there, and the proof's
// Kubernetes namespace.
type scene struct {
	*suite.T
	share *cluster.Exporter
	class string // name of the StorageClass
}

// ports gives every exporter of the run a port of its own, so that a late client of an earlier one meets nobody.
var ports atomic.Int32

func newScene(t *suite.T, parameters map[string]string) *scene {
	return newSceneOn(t, serve(t, "share"), t.Namespace, parameters)
}

// newSceneOn is a scene on a share that is there already, with a StorageClass of that name.
func newSceneOn(t *suite.T, share *cluster.Exporter, class string, parameters map[string]string) *scene {
	s := &scene{T: t, share: share}
	s.class = s.storageClass(class, parameters, nil)
	t.Cleanup(s.drain)
	return s
}

// drain deletes the proof's pods and claims while their server still runs: a volume cannot be deleted without it.
func (s *scene) drain() {
	everything := metav1.ListOptions{}
	err := errors.Join(
		s.pods().DeleteCollection(s.Context(), metav1.DeleteOptions{}, everything),
		s.claims().DeleteCollection(s.Context(), metav1.DeleteOptions{}, everything))
	if err != nil {
		s.Fatalf("deleting the proof's pods and claims: %v", err)
	}
	s.volumesGo(func(pv *corev1.PersistentVolume) bool {
		return pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.Namespace == s.Namespace
	})
}

// volumesGo waits until the volumes are gone that the driver deletes with their claims.
func (s *scene) volumesGo(whose func(*corev1.PersistentVolume) bool) {
	s.eventually("the proof's volumes to go", func(ctx context.Context) (bool, error) {
		list, err := s.volumes().List(ctx, metav1.ListOptions{})
		return err == nil && !slices.ContainsFunc(list.Items, func(pv corev1.PersistentVolume) bool {
			return pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && whose(&pv)
		}), err
	})
}

// serve starts an exporter of a new directory, which lives as long as the proof.
func serve(t *suite.T, name string) *cluster.Exporter {
	e, err := t.Cluster.Serve(t.Context(), cluster.Export{Name: t.Namespace + "-" + name, Port: 5700 + int(ports.Add(1))})
	if err != nil {
		t.Fatalf("starting an exporter: %v", err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// storageClass makes a StorageClass on the scene's share; parameters may replace its defaults.
func (s *scene) storageClass(name string, parameters map[string]string, edit func(*storagev1.StorageClass)) string {
	all := map[string]string{"server": s.share.URL, "subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"}
	maps.Copy(all, parameters)
	class := &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: name},
		Provisioner:          driverName,
		Parameters:           all,
		AllowVolumeExpansion: new(true),
	}
	if edit != nil {
		edit(class)
	}
	classes := s.Cluster.Client.StorageV1().StorageClasses()
	if _, err := classes.Create(s.Context(), class, metav1.CreateOptions{}); err != nil {
		s.Fatalf("creating StorageClass %s: %v", name, err)
	}
	s.Cleanup(func() { s.removed("StorageClass", classes.Delete(s.Context(), name, metav1.DeleteOptions{})) })
	return name
}

// removed reports a deletion that failed for another reason than that nothing was there.
func (s *scene) removed(kind string, err error) {
	if err != nil && !apierrors.IsNotFound(err) {
		s.Errorf("deleting the %s: %v", kind, err)
	}
}

// path is a place on the server's side of the share.
func (s *scene) path(elements ...string) string {
	return filepath.Join(append([]string{s.share.Dir}, elements...)...)
}

// volumeDir is where the scene's StorageClass puts the volume of a claim, on the server's side.
func (s *scene) volumeDir(claim string) string { return s.path(s.Namespace, claim) }

// waitTimeout is how long the cluster may take for any one thing, on a busy machine.
const waitTimeout = 2 * time.Minute

// eventually waits until done says so. What it waits for completes the sentence "gave up waiting for".
func (s *scene) eventually(what string, done func(context.Context) (bool, error)) {
	ctx, cancel := context.WithTimeout(s.Context(), waitTimeout)
	defer cancel()
	var last error
	for {
		ok, err := done(ctx)
		if ok && err == nil {
			return
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			s.Fatalf("gave up waiting for %s (last error: %v)", what, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// event waits for an Event about the object whose message has all the fragments.
func (s *scene) event(object string, fragments ...string) {
	s.eventually("an Event about "+object+" that says "+strings.Join(fragments, " ... "), func(ctx context.Context) (bool, error) {
		events, err := s.Cluster.Client.CoreV1().Events(s.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + object})
		if err != nil {
			return false, err
		}
		for _, e := range events.Items {
			if containsAll(e, fragments) {
				s.Logf("%s %s: %s: %s", e.InvolvedObject.Kind, object, e.Reason, e.Message)
				return true, nil
			}
		}
		return false, nil
	})
}

func containsAll(e corev1.Event, fragments []string) bool {
	for _, f := range fragments {
		if !strings.Contains(e.Message, f) {
			return false
		}
	}
	return true
}
