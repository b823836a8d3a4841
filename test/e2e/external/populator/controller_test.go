package main

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
)

func claim(name, kind string) *v1.PersistentVolumeClaim {
	group, class := "hello.example.com", "fast"
	return &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: name, UID: "uid-of-claim"},
		Spec: v1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			DataSourceRef:    &v1.TypedObjectReference{APIGroup: &group, Kind: kind, Name: "example"},
		},
	}
}

func newController(claims ...runtime.Object) *controller {
	hello := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "hello.example.com/v1alpha1", "kind": "Hello",
		"metadata": map[string]any{"namespace": "app", "name": "example"},
		"spec":     map[string]any{"fileName": "a.txt", "fileContents": "hello there"},
	}}
	return &controller{
		client: fake.NewClientset(claims...), hellos: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(), hello),
		namespace: "pop", image: "populator:1",
	}
}

func reconcile(t *testing.T, c *controller) {
	t.Helper()
	if err := c.reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPopulate(t *testing.T) {
	const name = "populate-uid-of-claim"
	c := newController(claim("data", "Hello"), &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv"},
		Spec:       v1.PersistentVolumeSpec{ClaimRef: &v1.ObjectReference{Namespace: "pop", Name: name, UID: "uid-of-second"}},
	})
	core, ctx := c.client.CoreV1(), t.Context()

	reconcile(t, c)
	filled, err := core.PersistentVolumeClaims("pop").Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if filled.Spec.DataSourceRef != nil || *filled.Spec.StorageClassName != "fast" {
		t.Errorf("the second claim is %+v", filled.Spec)
	}
	pod, err := core.Pods("pop").Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if args := pod.Spec.Containers[0].Args; len(args) != 3 || args[1] != "--file-name=/mnt/a.txt" || args[2] != "--file-contents=hello there" {
		t.Errorf("the pod's arguments are %q", args)
	}

	reconcile(t, c)
	if pv, err := core.PersistentVolumes().Get(ctx, "pv", metav1.GetOptions{}); err != nil || pv.Spec.ClaimRef.Name != name {
		t.Fatalf("%v: the volume was given away before it was filled", err)
	}

	pod.Status.Phase, filled.Spec.VolumeName = v1.PodSucceeded, "pv"
	if _, err := core.Pods("pop").Update(ctx, pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.PersistentVolumeClaims("pop").Update(ctx, filled, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	reconcile(t, c)
	pv, err := core.PersistentVolumes().Get(ctx, "pv", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ref := pv.Spec.ClaimRef; ref.Namespace != "app" || ref.Name != "data" || ref.UID != "uid-of-claim" {
		t.Errorf("the volume is of %+v", ref)
	}

	bound := claim("data", "Hello")
	bound.Spec.VolumeName = "pv"
	if _, err := core.PersistentVolumeClaims("app").Update(ctx, bound, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	reconcile(t, c)
	if _, err := core.Pods("pop").Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the pod is left: %v", err)
	}
	if _, err := core.PersistentVolumeClaims("pop").Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the second claim is left: %v", err)
	}
}

func TestOtherSourcesAreLeftAlone(t *testing.T) {
	c := newController(claim("data", "Goodbye"))
	reconcile(t, c)
	pods, err := c.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 0 {
		t.Errorf("pods %v", pods.Items)
	}
}
