package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// write leaves the layout and the archives in dir, and says so on out.
func write(dir string, ref name.Tag, index v1.ImageIndex, images []platformImage, out io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeLayout(filepath.Join(dir, "image"), ref, index); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s  %s@%s\n", filepath.Join(dir, "image"), ref, digest)
	for _, i := range images {
		path := filepath.Join(dir, "csi-9p-image-"+i.platform.Architecture+".tar")
		if err := writeArchive(path, ref, i); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := tell(out, path, i); err != nil {
			return err
		}
	}
	return nil
}

// tell prints what an image weighs: in a registry, and on a node.
func tell(out io.Writer, path string, i platformImage) error {
	digest, err := i.Digest()
	if err != nil {
		return err
	}
	layers, err := i.Layers()
	if err != nil {
		return err
	}
	var packed, unpacked int64
	for _, l := range layers {
		size, err := l.Size()
		if err != nil {
			return err
		}
		r, err := l.Uncompressed()
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, r)
		r.Close()
		if err != nil {
			return err
		}
		packed, unpacked = packed+size, unpacked+n
	}
	_, err = fmt.Fprintf(out, "%s  %s %s  %.1f MB to pull, %.1f MB on disk\n", path, i.platform, digest, float64(packed)/1e6, float64(unpacked)/1e6)
	return err
}

// writeLayout replaces the OCI image layout at dir by one that holds the index, under the tag's name.
func writeLayout(dir string, ref name.Tag, index v1.ImageIndex) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return l.AppendIndex(index, layout.WithAnnotations(names(ref)))
}

// names are the annotations that give an image of a layout its name: the specification's, and containerd's, which holds the
// repository too.
func names(ref name.Tag) map[string]string {
	return map[string]string{
		"org.opencontainers.image.ref.name": ref.TagStr(),
		"io.containerd.image.name":          ref.Name(),
	}
}

// writeArchive writes an image as `docker save` does since version 25: an OCI layout, which containerd reads, with a
// manifest.json beside it, which every docker reads.
func writeArchive(path string, ref name.Tag, i platformImage) error {
	files, err := archived(ref, i)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for _, file := range files {
		if err := add(w, file, time.Unix(0, 0)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

// archived lists the files of an archive.
func archived(ref name.Tag, i platformImage) ([]file, error) {
	blobs, config, layers, err := blobsOf(i)
	if err != nil {
		return nil, err
	}
	desc, err := partial.Descriptor(i)
	if err != nil {
		return nil, err
	}
	desc.Platform, desc.Annotations, desc.ArtifactType = &i.platform, names(ref), ""
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{*desc}})
	if err != nil {
		return nil, err
	}
	type saved struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	manifest, err := json.Marshal([]saved{{config, []string{ref.Name()}, layers}})
	if err != nil {
		return nil, err
	}
	return append([]file{
		{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", 0o644, index},
		{"manifest.json", 0o644, manifest},
	}, blobs...), nil
}

// blobsOf returns an image's manifest, config and layers as files of a layout, and the paths of the latter two.
func blobsOf(i v1.Image) (blobs []file, config string, layers []string, err error) {
	blob := func(h v1.Hash, content []byte) string {
		path := "blobs/" + h.Algorithm + "/" + h.Hex
		blobs = append(blobs, file{path, 0o644, content})
		return path
	}
	digest, err := i.Digest()
	if err != nil {
		return nil, "", nil, err
	}
	raw, err := i.RawManifest()
	if err != nil {
		return nil, "", nil, err
	}
	blob(digest, raw)
	manifest, err := i.Manifest()
	if err != nil {
		return nil, "", nil, err
	}
	raw, err = i.RawConfigFile()
	if err != nil {
		return nil, "", nil, err
	}
	config = blob(manifest.Config.Digest, raw)
	all, err := i.Layers()
	if err != nil {
		return nil, "", nil, err
	}
	for n, l := range all {
		r, err := l.Compressed()
		if err != nil {
			return nil, "", nil, err
		}
		raw, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, "", nil, err
		}
		layers = append(layers, blob(manifest.Layers[n].Digest, raw))
	}
	return blobs, config, layers, nil
}
