// Package deploy holds what is in deploy/ together: the kustomize overlays and the Helm chart make the same objects, the API knows
// every field of them, and no privilege or right is in them that is not listed here. It is all tests.
package deploy
