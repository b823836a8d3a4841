package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	oci "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pause is the image of every pod's sandbox.
const Pause = "registry.k8s.io/pause:3.10.2"

// Busybox is an image with the tools of a small Unix, for the pods of proofs.
const Busybox = "docker.io/library/busybox:lab"

// Workload is busybox with the program workload, I/O that checks itself.
const Workload = "docker.io/library/workload:lab"

// Driver is the repository of the driver's own image.
const Driver = "ghcr.io/csi-9p/csi-9p"

// recipes say how the image of a repository is made.
var recipes = map[string]func(context.Context, *Builder) (image, error){
	"docker.io/library/busybox":                             busybox,
	"docker.io/library/workload":                            workloadImage,
	"registry.k8s.io/e2e-test-images/busybox":               busybox,
	"registry.k8s.io/e2e-test-images/agnhost":               agnhostImage,
	"registry.k8s.io/e2e-test-images/glibc-dns-testing":     busybox,
	"registry.k8s.io/e2e-test-images/nginx":                 busybox,
	"registry.k8s.io/pause":                                 single(standins, "pause", "/pause"),
	"registry.k8s.io/sig-storage/csi-provisioner":           single(sidecars, "csi-provisioner", "/csi-provisioner"),
	"registry.k8s.io/sig-storage/csi-resizer":               single(sidecars, "csi-resizer", "/csi-resizer"),
	"registry.k8s.io/sig-storage/csi-node-driver-registrar": single(standins, "registrar", "/csi-node-driver-registrar"),
	"registry.k8s.io/sig-storage/livenessprobe":             single(standins, "livenessprobe", "/livenessprobe"),
	"registry.k8s.io/sig-storage/hello-populator":           single(populator, "populator", "/hello-populator"),
}

// standIns are the repositories whose images are the lab's own programs with the flags of the real ones.
var standIns = []string{
	"registry.k8s.io/sig-storage/csi-node-driver-registrar",
	"registry.k8s.io/sig-storage/livenessprobe",
}

// versions are those of the repositories whose images are built from a module, as go.mod pins it.
var versions = map[string]string{
	"registry.k8s.io/sig-storage/csi-provisioner": "v6.3.0",
	"registry.k8s.io/sig-storage/csi-resizer":     "v2.2.0",
}

// Notes say of the images named which are not what their names say.
func Notes(names []string) []string {
	var notes []string
	for _, name := range names {
		repository := Repository(name)
		if slices.Contains(standIns, repository) {
			notes = append(notes, name+" is a stand-in of the lab with the flags of the real one, which cannot be built from a Go module")
		}
		if version, ok := versions[repository]; ok && name != repository+":"+version {
			notes = append(notes, name+" is built from "+version+" of its module, the nearest that fits the lab's Kubernetes")
		}
	}
	return notes
}

// Images makes archives that hold the images named, each under its name, and returns their paths. Each can be imported
// by `ctr images import`.
func (b *Builder) Images(ctx context.Context, names []string) ([]string, error) {
	byRepository := map[string][]string{}
	for _, name := range names {
		repository := Repository(name)
		byRepository[repository] = append(byRepository[repository], name)
	}
	var archives []string
	for _, repository := range slices.Sorted(maps.Keys(byRepository)) {
		if repository == Driver {
			archive, err := b.driver(ctx, byRepository[repository][0])
			if err != nil {
				return nil, err
			}
			archives = append(archives, archive)
			continue
		}
		recipe, ok := recipes[repository]
		if !ok {
			return nil, fmt.Errorf("image %s: the lab has no registry and no recipe for it: add one to %s", byRepository[repository][0], "test/e2e/build/images.go")
		}
		img, err := recipe(ctx, b)
		if err != nil {
			return nil, err
		}
		archive, err := b.archive(img, repository, byRepository[repository])
		if err != nil {
			return nil, err
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

// Repository is an image's name without tag and digest.
func Repository(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name
}

func (b *Builder) archive(img image, repository string, names []string) (string, error) {
	slices.Sort(names)
	key, err := img.key(slices.Compact(names))
	if err != nil {
		return "", err
	}
	dir, err := b.once("images", fileName(repository), key, func(dir string) error {
		out, err := os.Create(filepath.Join(dir, "image.tar"))
		if err != nil {
			return err
		}
		scratch, err := os.Create(filepath.Join(dir, "layer"))
		if err != nil {
			return errors.Join(err, out.Close())
		}
		err = writeArchive(out, scratch, img, names)
		return errors.Join(err, out.Close(), scratch.Close(), os.Remove(scratch.Name()))
	})
	return filepath.Join(dir, "image.tar"), err
}

func fileName(repository string) string { return strings.ReplaceAll(repository, "/", "_") }

// key is a digest of what the image is made of. Files of the machine count by path, size and time: those of the cache
// have a digest of their contents in their paths.
func (img image) key(names []string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%+v %q\n", img.config, names)
	for _, f := range img.files {
		fmt.Fprintf(h, "%+v\n", f)
		if f.source == "" {
			continue
		}
		info, err := os.Stat(f.source)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, info.Size(), info.ModTime().UnixNano())
	}
	return sum(h), nil
}

// single is the recipe of an image that holds one static program and runs it.
func single(p Program, name, path string) func(context.Context, *Builder) (image, error) {
	return func(ctx context.Context, b *Builder) (image, error) {
		dir, err := b.Build(ctx, p)
		return image{
			config: oci.ImageConfig{Entrypoint: []string{path}},
			files:  []file{{path: path, source: filepath.Join(dir, name)}},
		}, err
	}
}

// busybox is Debian's static busybox, and a link for each of its tools.
func busybox(ctx context.Context, _ *Builder) (image, error) {
	list, err := exec.CommandContext(ctx, "/bin/busybox", "--list").Output()
	if err != nil {
		return image{}, fmt.Errorf("busybox --list: %w", err)
	}
	img := image{
		config: oci.ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}},
		files:  append(slices.Clone(skeleton), file{path: "/bin/busybox", source: "/bin/busybox"}),
	}
	for _, tool := range strings.Fields(string(list)) {
		if tool != "busybox" {
			img.files = append(img.files, file{path: "/bin/" + tool, link: "busybox"})
		}
	}
	return img, nil
}

// agnhostImage is the tool box of Kubernetes' own tests, on top of busybox: they run its programs in a shell.
func agnhostImage(ctx context.Context, b *Builder) (image, error) {
	img, err := busybox(ctx, b)
	if err != nil {
		return image{}, err
	}
	dir, err := b.Build(ctx, agnhost)
	img.config.Entrypoint, img.config.Cmd = []string{"/agnhost"}, []string{"pause"}
	img.files = append(img.files, file{path: "/agnhost", source: filepath.Join(dir, "agnhost")})
	return img, err
}

// workloadImage is what most pods of proofs run.
func workloadImage(ctx context.Context, b *Builder) (image, error) {
	img, err := busybox(ctx, b)
	if err != nil {
		return image{}, err
	}
	dir, err := b.Build(ctx, workload)
	img.files = append(img.files, file{path: "/bin/workload", source: filepath.Join(dir, "workload")})
	return img, err
}

// driver makes the archive of the driver's image as `make image` does, for this machine's architecture.
func (b *Builder) driver(ctx context.Context, name string) (string, error) {
	inside := DriverProgram
	inside.Name, inside.Extra = name, []string{"deploy/image"}
	key, err := inside.key(b.Module)
	if err != nil {
		return "", err
	}
	dir, err := b.once("images", fileName(Driver), key, func(dir string) error {
		cmd := exec.CommandContext(ctx, "go", "run", ".", "-output", dir, "-name", name, "-platforms", "linux/"+runtime.GOARCH)
		cmd.Dir = filepath.Join(b.Module, DriverProgram.Module, "deploy/image")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("deploy/image: %w\n%s", err, out)
		}
		return nil
	})
	return filepath.Join(dir, "csi-9p-image-"+runtime.GOARCH+".tar"), err
}

// skeleton are the files that tools look for.
var skeleton = []file{
	{path: "/etc/passwd", text: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", mode: 0o644},
	{path: "/etc/group", text: "root:x:0:\nnogroup:x:65534:\n", mode: 0o644},
	{path: "/root", mode: 0o700},
	{path: "/tmp", mode: 0o1777},
	{path: "/mnt"},
}
