package controller_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

func TestDeleteVolume(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		kept, gone := r.create("kept"), r.create("gone")
		outside := lab.Dir(t)
		write(t, filepath.Join(outside, "canary"), "alive")
		for _, dir := range []string{"a/b/c/d", "a/e", "empty", ".hidden/x", "-rf", "new\nline"} {
			mkdir(t, r.path("gone", dir))
		}
		write(t, r.path("gone", "a/b/c/d/file"), "data")
		write(t, r.path("gone", "-rf", "file"), "data")
		for link, target := range map[string]string{"out": outside, "a/b/up": "../../../..", "dangling": "nowhere", "file": filepath.Join(outside, "canary"), "kept": r.path("kept")} {
			if err := os.Symlink(target, r.path("gone", link)); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mkfifo(r.path("gone", "a", "fifo"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(r.path("gone", "a"), 0); err != nil {
			t.Fatal(err)
		}
		write(t, r.path("kept", "data"), "data")
		for range 2 { // the second finds nothing, which is fine
			r.remove(gone.GetVolumeId())
		}
		if exists(r.path("gone")) || !exists(r.path("kept", "data")) || !exists(filepath.Join(outside, "canary")) {
			t.Errorf("the share has %q", r.names())
		}
		r.remove(kept.GetVolumeId())
		r.spotless()
	})
}

func TestDeleteVolumeRetain(t *testing.T) {
	r := newRig(t)
	v := r.create("pvc-1", "onDelete", "retain")
	write(t, r.path("pvc-1", "data"), "data")
	r.remove(v.GetVolumeId())
	r.spotless("pvc-1")
	if !exists(r.path("pvc-1", "data")) {
		t.Error("its data is gone")
	}
	_, err := r.CreateVolume(t.Context(), r.request("pvc-1", "onDelete", "retain"))
	fails(t, err, codes.AlreadyExists, `"pvc-1"`)
}

func TestDeleteVolumeArchive(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for _, data := range []string{"first", "second"} {
			v := r.create("pvc-1", "onDelete", "archive")
			write(t, r.path("pvc-1", data), "data")
			r.remove(v.GetVolumeId())
		}
		longer := "archived-pvc-1-" + volume.UUID("pvc-1").String()
		r.spotless("archived-pvc-1", longer)
		if !exists(r.path("archived-pvc-1", "first")) || !exists(r.path(longer, "second")) {
			t.Error("the archives do not hold what the volumes did")
		}
		v := r.create("pvc-1", "onDelete", "archive")
		r.remove(v.GetVolumeId()) // the UUID repeats with the name: one more longer name is free
		r.spotless("archived-"+volume.UUID("pvc-1").String(), "archived-pvc-1", longer)
		v = r.create("pvc-1", "onDelete", "archive")
		_, err := r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
		fails(t, err, codes.FailedPrecondition, "archived-pvc-1", "rename")
	})
}

// An id that no controller made is that of a static volume, or junk.
func TestDeleteVolumeOfJunk(t *testing.T) {
	r := newRig(t)
	id := volume.UUID("never made").String()
	for _, junk := range []string{"x", "share/tank/x", "../../etc", strings.Repeat("x", 1000), r.url + "#" + id} {
		r.remove(junk)
	}
	if _, err := r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{}); err == nil {
		t.Error("an empty id is accepted")
	}
	_, err := r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: "share/tank/" + id})
	fails(t, err, codes.FailedPrecondition, "tank", "--config") // OK would leave the directory for ever
}

func TestDeleteVolumeWhoseDirectoryIsGone(t *testing.T) {
	for _, onDelete := range []string{"delete", "archive", "retain"} {
		t.Run(onDelete, func(t *testing.T) {
			r := newRig(t)
			v := r.create("pvc-1", "subDir", "a/b", "onDelete", onDelete)
			if err := os.RemoveAll(r.path("a")); err != nil {
				t.Fatal(err)
			}
			r.remove(v.GetVolumeId())
			r.spotless()
		})
	}
}

// A directory that took the place of a volume's is somebody's, and stays.
func TestDeleteVolumeSwapped(t *testing.T) {
	for _, onDelete := range []string{"delete", "archive"} {
		t.Run(onDelete, func(t *testing.T) {
			r := newRig(t)
			v := r.create("pvc-1", "onDelete", onDelete)
			if err := os.Rename(r.path("pvc-1"), r.path("moved")); err != nil {
				t.Fatal(err)
			}
			mkdir(t, r.path("pvc-1"))
			write(t, r.path("pvc-1", "data"), "data")
			_, err := r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
			fails(t, err, codes.FailedPrecondition, `"pvc-1"`, fmt.Sprintf("%x", stat(t, r.path("pvc-1")).Ino), fmt.Sprintf("%x", stat(t, r.path("moved")).Ino))
			if !exists(r.path("pvc-1", "data")) {
				t.Fatal("somebody's data is gone")
			}
			if err := os.Rename(r.path("pvc-1"), r.path("somebody's")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(r.path("moved"), r.path("pvc-1")); err != nil {
				t.Fatal(err)
			}
			r.remove(v.GetVolumeId())
			if exists(r.path("pvc-1")) || !exists(r.path("somebody's", "data")) {
				t.Errorf("the share has %q", r.names())
			}
		})
	}
}

// Whoever can write to the share can write records. A record that names what
// is not a volume's does no harm.
func TestDeleteVolumeHostileRecord(t *testing.T) {
	r := newRig(t)
	v := r.create("pvc-1")
	mkdir(t, r.path("precious"))
	write(t, r.path("precious", "data"), "data")
	file := r.path(".csi-9p", "volumes", volume.UUID("pvc-1").String()+".json")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"another directory": strings.Replace(string(good), `"pvc-1"`+"\n", `"precious"`+"\n", 1),
		"the driver's own":  strings.Replace(string(good), `"pvc-1"`+"\n", `".csi-9p"`+"\n", 1),
		"above the share":   strings.Replace(string(good), `"pvc-1"`+"\n", `".."`+"\n", 1),
		"not JSON":          "rm -rf /",
		"empty":             "",
	} {
		if bad == string(good) {
			t.Fatalf("%s: the record has not the form expected:\n%s", name, good)
		}
		write(t, file, bad)
		_, err := r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
		t.Run(name, func(t *testing.T) { fails(t, err, codes.FailedPrecondition) })
	}
	if !exists(r.path("precious", "data")) || !exists(r.path("pvc-1")) {
		t.Errorf("the share has %q", r.names())
	}
	write(t, file, string(good))
	r.remove(v.GetVolumeId())
	r.spotless("precious")
}

// What killed controllers left half written goes when nobody can be writing it
// any more.
func TestDeleteVolumeSweeps(t *testing.T) {
	r := newRig(t)
	v := r.create("pvc-1")
	write(t, r.path(".csi-9p", "tmp", "old"), "half")
	write(t, r.path(".csi-9p", "tmp", "young"), "half")
	if err := os.Chtimes(r.path(".csi-9p", "tmp", "old"), time.Time{}, time.Now().Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.remove(v.GetVolumeId())
	if got := r.names(".csi-9p", "tmp"); !slices.Equal(got, []string{"young"}) {
		t.Errorf("left is %q", got)
	}
}

// Deep and wide trees take bounded fids: the server here grants few.
func TestDeleteVolumeDeepAndWide(t *testing.T) {
	leakCheck(t)
	root := lab.Dir(t)
	r := &rig{Controller: newController(t, ""), t: t, root: root, url: export(t, server.Options{Root: root, MaxFids: 128})}
	v := r.create("pvc-1")
	grow(t, r.path("pvc-1"), 600)
	for i := range 3_000 {
		write(t, r.path("pvc-1", fmt.Sprintf("file-%04d", i)), "")
	}
	for i := range 200 {
		mkdir(t, r.path("pvc-1", fmt.Sprintf("dir-%03d", i), "a", "b"))
	}
	r.remove(v.GetVolumeId())
	r.spotless()
}

// grow makes a chain of directories deeper than a path can name.
func grow(t *testing.T, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for i := 0; i < depth && err == nil; i++ {
		name := strings.Repeat("d", 200)
		if err = unix.Mkdirat(fd, name, 0o755); err != nil {
			break
		}
		if err = unix.Mkdirat(fd, "sibling", 0o755); err != nil {
			break
		}
		var next int
		next, err = unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		fd = next
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// While a thread swaps directories of the volume for symlinks that lead
// outside, deleting the volume takes nothing from there.
func TestDeleteVolumeContained(t *testing.T) {
	r := newRig(t)
	outside := lab.Dir(t)
	for i := range 50 {
		mkdir(t, filepath.Join(outside, fmt.Sprintf("dir-%d", i%5)))
		write(t, filepath.Join(outside, fmt.Sprintf("dir-%d", i%5), fmt.Sprintf("canary-%d", i)), "alive")
	}
	before := tally(t, outside)
	for round := range 20 {
		v := r.create(fmt.Sprintf("pvc-%d", round))
		dir := r.path(fmt.Sprintf("pvc-%d", round))
		for i := range 5 {
			mkdir(t, filepath.Join(dir, "x", fmt.Sprintf("dir-%d", i), "below"))
			write(t, filepath.Join(dir, "x", fmt.Sprintf("dir-%d", i), "canary-0"), "")
		}
		stop := make(chan struct{})
		swapped := make(chan struct{})
		go func() {
			defer close(swapped)
			swapUntil(stop, []string{dir, r.path(".csi-9p", "trash", volume.UUID(fmt.Sprintf("pvc-%d", round)).String())}, outside)
		}()
		_, err := r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
		close(stop)
		<-swapped
		if err != nil {
			r.remove(v.GetVolumeId()) // nobody fills it any more
		}
		if after := tally(t, outside); !slices.Equal(after, before) {
			t.Fatalf("round %d: of %d names outside, %d are left", round, len(before), len(after))
		}
	}
}

// swapUntil keeps replacing the directories below x of each base by symlinks to
// a directory outside, and back.
func swapUntil(stop chan struct{}, bases []string, outside string) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		for _, base := range bases {
			place := filepath.Join(base, "x", fmt.Sprintf("dir-%d", i%5))
			aside := filepath.Join(base, fmt.Sprintf("aside-%d", i))
			if os.Rename(place, aside) == nil {
				_ = os.Symlink(outside, place)
				_ = os.Rename(aside, filepath.Join(base, "x", fmt.Sprintf("back-%d", i)))
			}
			_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(base, "x"), unix.AT_FDCWD, place, unix.RENAME_EXCHANGE)
		}
	}
}

// tally lists everything below a directory.
func tally(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
