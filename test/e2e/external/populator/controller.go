package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

var helloResource = schema.GroupVersionResource{Group: "hello.example.com", Version: "v1alpha1", Resource: "hellos"}

// mountPath is where a pod that populates has the volume.
const mountPath = "/mnt"

// controller fills the volumes of claims whose data source is a Hello. A claim with a data source that the provisioner
// does not know is left to it: it makes a second claim of the same kind without one, fills that one's volume by a pod,
// and then gives the volume to the first claim.
type controller struct {
	client    kubernetes.Interface
	hellos    dynamic.Interface
	namespace string // of second claims and pods
	image     string // of pods
}

// reconcile takes every claim as far as it goes now.
func (c *controller) reconcile(ctx context.Context) error {
	claims, err := c.client.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for i := range claims.Items {
		claim := &claims.Items[i]
		if ref := claim.Spec.DataSourceRef; ref == nil || ref.APIGroup == nil || *ref.APIGroup != helloResource.Group || ref.Kind != "Hello" {
			continue
		}
		if err := c.populate(ctx, claim); err != nil {
			errs = append(errs, fmt.Errorf("claim %s/%s: %w", claim.Namespace, claim.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *controller) populate(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	claims, pods := c.client.CoreV1().PersistentVolumeClaims(c.namespace), c.client.CoreV1().Pods(c.namespace)
	name := "populate-" + string(claim.UID)
	if claim.Spec.VolumeName != "" {
		return errors.Join(ignore(apierrors.IsNotFound, pods.Delete(ctx, name, metav1.DeleteOptions{})),
			ignore(apierrors.IsNotFound, claims.Delete(ctx, name, metav1.DeleteOptions{})))
	}
	_, err := claims.Create(ctx, second(claim, name), metav1.CreateOptions{})
	if err := ignore(apierrors.IsAlreadyExists, err); err != nil {
		return err
	}
	hello, err := c.hellos.Resource(helloResource).Namespace(claim.Namespace).Get(ctx, claim.Spec.DataSourceRef.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	_, err = pods.Create(ctx, c.pod(name, hello), metav1.CreateOptions{})
	if err := ignore(apierrors.IsAlreadyExists, err); err != nil {
		return err
	}
	pod, err := pods.Get(ctx, name, metav1.GetOptions{})
	if err != nil || pod.Status.Phase != v1.PodSucceeded {
		return err
	}
	filled, err := claims.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	return c.give(ctx, filled.Spec.VolumeName, claim)
}

// second is a claim like the one given, without a data source.
func second(claim *v1.PersistentVolumeClaim, name string) *v1.PersistentVolumeClaim {
	return &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PersistentVolumeClaimSpec{
			AccessModes: claim.Spec.AccessModes, Resources: claim.Spec.Resources,
			StorageClassName: claim.Spec.StorageClassName, VolumeMode: claim.Spec.VolumeMode,
		},
	}
}

func (c *controller) pod(name string, hello *unstructured.Unstructured) *v1.Pod {
	file, _, _ := unstructured.NestedString(hello.Object, "spec", "fileName")
	contents, _, _ := unstructured.NestedString(hello.Object, "spec", "fileContents")
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PodSpec{
			RestartPolicy: v1.RestartPolicyNever,
			Containers: []v1.Container{{
				Name: "populate", Image: c.image, ImagePullPolicy: v1.PullIfNotPresent,
				Args:         []string{"--mode=populate", "--file-name=" + path.Join(mountPath, file), "--file-contents=" + contents},
				VolumeMounts: []v1.VolumeMount{{Name: "target", MountPath: mountPath}},
			}},
			Volumes: []v1.Volume{{Name: "target", VolumeSource: v1.VolumeSource{
				PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: name},
			}}},
		},
	}
}

// give binds the volume to the claim in place of the one that it was made for.
func (c *controller) give(ctx context.Context, volume string, claim *v1.PersistentVolumeClaim) error {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"claimRef": v1.ObjectReference{
		Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
	}}})
	if err != nil {
		return err
	}
	_, err = c.client.CoreV1().PersistentVolumes().Patch(ctx, volume, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// ignore is nil for errors of a kind, and err for others.
func ignore(kind func(error) bool, err error) error {
	if kind(err) {
		return nil
	}
	return err
}
