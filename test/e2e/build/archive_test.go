package build

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	oci "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestArchiveIsAnImageLayout(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("the program"), 0o600); err != nil {
		t.Fatal(err)
	}
	img := image{
		config: oci.ImageConfig{Entrypoint: []string{"/bin/program"}, User: "65532"},
		files: []file{
			{path: "/bin/program", source: program},
			{path: "/bin/link", link: "program"},
			{path: "/etc/passwd", text: "root", mode: 0o644},
			{path: "/tmp", mode: 0o1777},
		},
	}
	scratch, err := os.Create(filepath.Join(t.TempDir(), "layer"))
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	var archive bytes.Buffer
	names := []string{"example.com/a:1", "example.com/b:2"}
	if err := writeArchive(&archive, scratch, img, names); err != nil {
		t.Fatal(err)
	}

	layout, _ := read(t, &archive)
	var index oci.Index
	decode(t, layout[oci.ImageIndexFile], &index)
	var found []string
	for _, m := range index.Manifests {
		found = append(found, m.Annotations[imageName])
	}
	if !slices.Equal(found, names) {
		t.Errorf("the archive's names are %q, want %q", found, names)
	}
	var manifest oci.Manifest
	decode(t, content(t, layout, index.Manifests[0]), &manifest)
	var config oci.Image
	decode(t, content(t, layout, manifest.Config), &config)
	if !slices.Equal(config.Config.Entrypoint, img.config.Entrypoint) || config.Config.User != "65532" || config.OS != "linux" {
		t.Errorf("the configuration is %+v", config)
	}
	layer := content(t, layout, manifest.Layers[0])
	if got := digest.FromBytes(layer); config.RootFS.DiffIDs[0] != got {
		t.Errorf("the layer is %s and the configuration says %s", got, config.RootFS.DiffIDs[0])
	}
	files, headers := read(t, bytes.NewReader(layer))
	if string(files["bin/program"]) != "the program" || headers["bin/program"].Mode != 0o755 {
		t.Errorf("bin/program is %q, %+v", files["bin/program"], headers["bin/program"])
	}
	if headers["bin/link"].Linkname != "program" || headers["tmp/"].Mode != 0o1777 || headers["bin/"].Mode != 0o755 || string(files["etc/passwd"]) != "root" {
		t.Errorf("the layer's headers are %+v", headers)
	}
}

// content is the blob of a descriptor, whose size and digest it has.
func content(t *testing.T, layout map[string][]byte, d oci.Descriptor) []byte {
	t.Helper()
	b := layout[blob(d)]
	if int64(len(b)) != d.Size || digest.FromBytes(b) != d.Digest {
		t.Fatalf("the blob of %+v has %d bytes and the digest %s", d, len(b), digest.FromBytes(b))
	}
	return b
}

func decode(t *testing.T, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, r io.Reader) (map[string][]byte, map[string]*tar.Header) {
	t.Helper()
	contents, headers := map[string][]byte{}, map[string]*tar.Header{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return contents, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		headers[h.Name] = h
		if contents[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRepository(t *testing.T) {
	for name, want := range map[string]string{
		"registry.k8s.io/pause:3.10":        "registry.k8s.io/pause",
		"registry.k8s.io/pause":             "registry.k8s.io/pause",
		"localhost:5000/pause":              "localhost:5000/pause",
		"localhost:5000/pause:1@sha256:abc": "localhost:5000/pause",
	} {
		if got := Repository(name); got != want {
			t.Errorf("the repository of %s is %s, want %s", name, got, want)
		}
	}
}

func TestNotesTellWhatIsNotTheRealThing(t *testing.T) {
	notes := Notes([]string{
		"registry.k8s.io/sig-storage/livenessprobe:v2.19.0",
		"registry.k8s.io/sig-storage/csi-provisioner:" + versions["registry.k8s.io/sig-storage/csi-provisioner"],
		"registry.k8s.io/sig-storage/csi-resizer:v9.9.9",
		"docker.io/library/busybox:lab",
	})
	if len(notes) != 2 || !strings.Contains(notes[0], "livenessprobe:v2.19.0 is a stand-in") || !strings.Contains(notes[1], "csi-resizer:v9.9.9 is built from v2.2.0") {
		t.Errorf("the notes are %q", notes)
	}
}

// TestVersionsAreThoseOfTheModule holds the versions that notes tell against go.mod.
func TestVersionsAreThoseOfTheModule(t *testing.T) {
	b, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"k8s.io/kubernetes " + kubernetesVersion,
		"github.com/containerd/containerd/v2 v" + containerdVersion,
		"github.com/kubernetes-csi/external-provisioner/v6 " + versions["registry.k8s.io/sig-storage/csi-provisioner"],
		"github.com/kubernetes-csi/external-resizer/v2 " + versions["registry.k8s.io/sig-storage/csi-resizer"],
	} {
		if !strings.Contains(string(b), want+" ") && !strings.Contains(string(b), want+"\n") {
			t.Errorf("go.mod does not pin %s", want)
		}
	}
}
