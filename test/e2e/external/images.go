package external

import (
	"slices"
	"strings"

	"k8s.io/kubernetes/test/utils/image"
)

// used are the images of test/utils/image that the pods of External.Storage are made of.
var used = []image.ImageID{
	image.Agnhost,         // mounttest in pods with a subPath; hostexec pods, which look at a node's mounts
	image.BusyBox,         // the shell of most pods
	image.GlibcDnsTesting, // the shell of pods that share a volume
	image.Nginx,           // the shell that runs a script of the volume
}

// populator is the repository of the controller of the spec "any volume data source", whose name stands in a manifest.
const populator = "registry.k8s.io/sig-storage/hello-populator"

// Images are the names of the images that the suite's pods are made of. They have to be on the nodes before it runs.
func Images() []string {
	var names []string
	for id, config := range image.GetImageConfigs() {
		name := config.GetE2EImage()
		if slices.Contains(used, id) || strings.HasPrefix(name, populator+":") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
