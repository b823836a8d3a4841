package build

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	oci "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageName is the annotation by which containerd finds the name of an image in an archive.
const imageName = "io.containerd.image.name"

// image says what an image is made of: it has one layer and no base.
type image struct {
	config oci.ImageConfig
	files  []file
}

// file is an entry of an image's layer. Directories above it come by themselves.
type file struct {
	path string
	// One of these: the file of the machine that it is a copy of; the target of a symbolic link; the text of a regular
	// file. None: a directory.
	source, link, text string
	mode               int64 // 0: 0755
}

// writeArchive writes the image as an OCI image layout in a tar file, under each of the names given. The layer is
// written to a scratch file first, because its digest comes before it.
func writeArchive(out io.Writer, scratch *os.File, img image, names []string) error {
	layerDigest := sha256.New()
	if err := writeLayer(io.MultiWriter(scratch, layerDigest), img.files); err != nil {
		return err
	}
	size, err := scratch.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	layer := oci.Descriptor{MediaType: oci.MediaTypeImageLayer, Digest: digest.NewDigest(digest.SHA256, layerDigest), Size: size}
	platform := oci.Platform{Architecture: runtime.GOARCH, OS: "linux"}
	config, configBytes, err := describe(oci.MediaTypeImageConfig, oci.Image{
		Platform: platform, Config: img.config, RootFS: oci.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	if err != nil {
		return err
	}
	manifest, manifestBytes, err := describe(oci.MediaTypeImageManifest, oci.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageManifest,
		Config: config, Layers: []oci.Descriptor{layer},
	})
	if err != nil {
		return err
	}
	manifest.Platform = &platform
	index := oci.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageIndex}
	for _, name := range names {
		manifest.Annotations = map[string]string{imageName: name}
		index.Manifests = append(index.Manifests, manifest)
	}
	indexBytes, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if _, err := scratch.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w := tar.NewWriter(out)
	return errors.Join(
		put(w, oci.ImageLayoutFile, []byte(`{"imageLayoutVersion":"`+oci.ImageLayoutVersion+`"}`)),
		put(w, oci.ImageIndexFile, indexBytes),
		put(w, blob(config), configBytes),
		put(w, blob(manifest), manifestBytes),
		putFrom(w, tar.Header{Name: blob(layer), Size: layer.Size, Mode: 0o644}, scratch),
		w.Close(),
	)
}

func describe(mediaType string, v any) (oci.Descriptor, []byte, error) {
	b, err := json.Marshal(v)
	return oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}, b, err
}

func blob(d oci.Descriptor) string {
	return path.Join(oci.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded())
}

func put(w *tar.Writer, name string, b []byte) error {
	return putFrom(w, tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644}, strings.NewReader(string(b)))
}

func putFrom(w *tar.Writer, h tar.Header, r io.Reader) error {
	if err := w.WriteHeader(&h); err != nil {
		return err
	}
	_, err := io.Copy(w, r)
	return err
}

func writeLayer(out io.Writer, files []file) error {
	w := tar.NewWriter(out)
	made := map[string]bool{"/": true}
	for _, f := range files {
		if err := writeParents(w, made, path.Dir(f.path)); err != nil {
			return err
		}
		made[f.path] = true
		if err := writeFile(w, f); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return w.Close()
}

func writeParents(w *tar.Writer, made map[string]bool, dir string) error {
	if made[dir] {
		return nil
	}
	if err := writeParents(w, made, path.Dir(dir)); err != nil {
		return err
	}
	made[dir] = true
	return writeFile(w, file{path: dir})
}

func writeFile(w *tar.Writer, f file) error {
	h := tar.Header{Name: strings.TrimPrefix(f.path, "/"), Mode: f.mode}
	if f.mode == 0 {
		h.Mode = 0o755
	}
	switch {
	case f.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		return w.WriteHeader(&h)
	case f.text != "":
		h.Size = int64(len(f.text))
		return putFrom(w, h, strings.NewReader(f.text))
	case f.source == "":
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		return w.WriteHeader(&h)
	}
	source, err := os.Open(f.source)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	return putFrom(w, h, source)
}
