package main_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// index reads the index of all platforms from the layout that was built.
func index(t *testing.T) v1.ImageIndex {
	t.Helper()
	return onlyIndex(t, filepath.Join(output(t), "image"))
}

// onlyIndex reads the one index that a layout names.
func onlyIndex(t *testing.T, dir string) v1.ImageIndex {
	t.Helper()
	top, desc := onlyEntry(t, dir)
	index, err := top.ImageIndex(desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func onlyEntry(t *testing.T, dir string) (v1.ImageIndex, v1.Descriptor) {
	t.Helper()
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the layout names %d manifests, want 1", len(manifest.Manifests))
	}
	return top, manifest.Manifests[0]
}

// eachPlatform runs a test for the image of each platform.
func eachPlatform(t *testing.T, test func(t *testing.T, arch string, image v1.Image)) {
	all := index(t)
	manifest, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != len(platforms) {
		t.Fatalf("the index names %d images, want %d", len(manifest.Manifests), len(platforms))
	}
	for n, arch := range platforms {
		desc := manifest.Manifests[n]
		if desc.Platform.String() != "linux/"+arch {
			t.Errorf("image %d is for %s, want linux/%s", n, desc.Platform, arch)
		}
		image, err := all.Image(desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(arch, func(t *testing.T) { test(t, arch, image) })
	}
}

func TestIndexIsValid(t *testing.T) {
	if err := validate.Index(index(t)); err != nil {
		t.Error(err)
	}
}

func TestConfigIsTheDockerfiles(t *testing.T) {
	want := parseDockerfile(t)
	eachPlatform(t, func(t *testing.T, arch string, image v1.Image) {
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.OS != "linux" || config.Architecture != arch {
			t.Errorf("config is for %s/%s", config.OS, config.Architecture)
		}
		if at := time.Unix(1700000000, 0); !config.Created.Equal(at) {
			t.Errorf("created %v, want SOURCE_DATE_EPOCH, %v", config.Created, at)
		}
		got := stage{user: config.Config.User, workdir: config.Config.WorkingDir, entrypoint: config.Config.Entrypoint,
			env: config.Config.Env, labels: config.Config.Labels, files: want.files}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("image has\n%+v\nthe Dockerfile's last stage\n%+v", got, want)
		}
		if got.labels["org.opencontainers.image.version"] != version || got.labels["org.opencontainers.image.revision"] != revision {
			t.Errorf("labels %v lack version and revision", got.labels)
		}
	})
}

func TestFilesAreTheDockerfiles(t *testing.T) {
	want := parseDockerfile(t).files
	eachPlatform(t, func(t *testing.T, _ string, image v1.Image) {
		got := map[string]bool{}
		for path, f := range files(t, image) {
			got[path] = true
			if f.Uid != 0 || f.Gid != 0 || f.Mode&0o7022 != 0 {
				t.Errorf("/%s is %d:%d's with mode %o: others than root may change it, or it is setuid", path, f.Uid, f.Gid, f.Mode)
			}
			if !f.ModTime.Equal(time.Unix(1700000000, 0)) {
				t.Errorf("/%s is of %v, not of SOURCE_DATE_EPOCH", path, f.ModTime)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("image holds %v, the Dockerfile copies %v", got, want)
		}
	})
}

func TestBinaryIsStatic(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	eachPlatform(t, func(t *testing.T, arch string, image v1.Image) {
		binary, err := elf.NewFile(bytes.NewReader(files(t, image)["csi-9p"].content))
		if err != nil {
			t.Fatal(err)
		}
		if binary.Machine != machines[arch] {
			t.Errorf("binary is for %v", binary.Machine)
		}
		for _, p := range binary.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("binary has a segment %v: it needs a dynamic linker, which the image lacks", p.Type)
			}
		}
	})
}

func TestBinaryTellsItsVersion(t *testing.T) {
	eachPlatform(t, func(t *testing.T, arch string, image v1.Image) {
		content := files(t, image)["csi-9p"].content
		if !bytes.Contains(content, []byte(version)) {
			t.Error("binary does not hold the version")
		}
		if arch != runtime.GOARCH {
			return
		}
		path := filepath.Join(t.TempDir(), "csi-9p")
		if err := os.WriteFile(path, content, 0o700); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(path, "version").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "csi-9p "+version+" ") {
			t.Errorf("version prints %q, %v", out, err)
		}
	})
}

// TestArchives reads the archives in both ways: as docker does, by manifest.json, and as containerd does, as an OCI layout.
func TestArchives(t *testing.T) {
	tag, err := name.NewTag(repo + ":" + version)
	if err != nil {
		t.Fatal(err)
	}
	eachPlatform(t, func(t *testing.T, arch string, image v1.Image) {
		path := filepath.Join(output(t), "csi-9p-image-"+arch+".tar")
		docker, err := tarball.ImageFromPath(path, &tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(docker); err != nil {
			t.Errorf("read as docker does: %v", err)
		}
		same(t, "config read as docker does", v1.Image.ConfigName, docker, image)

		dir := t.TempDir()
		unpack(t, path, dir)
		top, desc := onlyEntry(t, dir)
		if desc.Annotations["io.containerd.image.name"] != repo+":"+version || desc.Platform.Architecture != arch {
			t.Errorf("containerd would call it %v, for %v", desc.Annotations, desc.Platform)
		}
		containerd, err := top.Image(desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(containerd); err != nil {
			t.Errorf("read as containerd does: %v", err)
		}
		same(t, "image read as containerd does", v1.Image.Digest, containerd, image)
	})
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	to := strings.TrimPrefix(server.URL, "http://") + "/csi-9p:v1"
	_, err := command(nil, "-source", root, "-output", t.TempDir(), "-version", version, "-revision", revision, "-push", to)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(pulled); err != nil {
		t.Error(err)
	}
	same(t, "index pulled", v1.ImageIndex.Digest, pulled, index(t))
}

func TestPushNowhere(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server.Close()
	to := strings.TrimPrefix(server.URL, "http://") + "/csi-9p:v1"
	_, err := command(nil, "-source", root, "-output", t.TempDir(), "-version", version, "-revision", revision, "-push", to)
	if err == nil || !strings.Contains(err.Error(), "push to "+to) {
		t.Errorf("error %v, want one that names the registry", err)
	}
}

func same[T any](t *testing.T, what string, hash func(T) (v1.Hash, error), got, want T) {
	t.Helper()
	a, errA := hash(got)
	b, errB := hash(want)
	if errA != nil || errB != nil || a != b {
		t.Errorf("%s: %v, %v; want %v, %v", what, a, errA, b, errB)
	}
}

// packed is a file of an image.
type packed struct {
	*tar.Header
	content []byte
}

// files reads the files of an image, by their paths.
func files(t *testing.T, image v1.Image) map[string]packed {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]packed{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range entries(t, r) {
			all[f.Name] = f
		}
		r.Close()
	}
	return all
}

func entries(t *testing.T, r io.Reader) []packed {
	t.Helper()
	var all []packed
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, packed{header, content})
	}
}

func unpack(t *testing.T, path, dir string) {
	t.Helper()
	for _, f := range entries(t, strings.NewReader(read(t, path))) {
		to := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, f.content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
