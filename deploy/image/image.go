package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// platformImage is the image of one platform.
type platformImage struct {
	v1.Image
	platform v1.Platform
}

// buildAll builds the image of each platform, named as in linux/amd64.
func buildAll(ctx context.Context, from source, platforms []string) ([]platformImage, error) {
	var images []platformImage
	for _, p := range platforms {
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			return nil, fmt.Errorf("--platforms: %w", err)
		}
		image, err := build(ctx, from, *platform)
		if err != nil {
			return nil, err
		}
		images = append(images, platformImage{image, *platform})
	}
	return images, nil
}

// build makes the image of one platform: what the last stage of the Dockerfile describes.
func build(ctx context.Context, from source, platform v1.Platform) (v1.Image, error) {
	binary, err := compile(ctx, from, platform)
	if err != nil {
		return nil, err
	}
	licence, err := os.ReadFile(filepath.Join(from.dir, "LICENSE"))
	if err != nil {
		return nil, err
	}
	layer, err := pack(from.time, []file{{"LICENSE", 0o644, licence}, {"csi-9p", 0o755, binary}})
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: from.time}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Created: created, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       "65532:65532",
			Entrypoint: []string{"/csi-9p"},
			Env:        []string{"PATH=/"},
			WorkingDir: "/",
			Labels:     labels(from),
		},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: created, CreatedBy: "https://github.com/csi-9p/csi-9p/tree/main/deploy/image"},
	})
}

// labels are the image's annotations of https://specs.opencontainers.org/image-spec/annotations/.
func labels(from source) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "csi-9p",
		"org.opencontainers.image.description": "Kubernetes CSI driver for shares that speak 9P, and a 9P exporter",
		"org.opencontainers.image.url":         "https://github.com/csi-9p/csi-9p",
		"org.opencontainers.image.source":      "https://github.com/csi-9p/csi-9p",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     from.version,
		"org.opencontainers.image.revision":    from.revision,
	}
}

// file is a file of the image, root's.
type file struct {
	name    string
	mode    int64
	content []byte
}

// pack makes a layer of files, in their order, all of the given time.
func pack(when time.Time, files []file) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if err := add(w, f, when); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
}

// add writes a file to an archive, with nothing in its header that is not given.
func add(w *tar.Writer, f file, when time.Time) error {
	err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: when, Format: tar.FormatUSTAR,
	})
	if err != nil {
		return err
	}
	_, err = w.Write(f.content)
	return err
}

// assemble makes the index of the platforms' images.
func assemble(images []platformImage, from source) (v1.ImageIndex, error) {
	var addenda []mutate.IndexAddendum
	for _, i := range images {
		addenda = append(addenda, mutate.IndexAddendum{Add: i, Descriptor: v1.Descriptor{Platform: &i.platform}})
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), addenda...)
	annotated, ok := mutate.Annotations(index, labels(from)).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotate the index: not an index any more")
	}
	return annotated, nil
}
