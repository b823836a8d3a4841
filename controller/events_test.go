package controller_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep/server"
	"google.golang.org/grpc/codes"
)

// TestEventsOfAClaim: csi-provisioner makes an event of the error of CreateVolume, which says what is wrong with what, and
// what to do about it.
func TestEventsOfAClaim(t *testing.T) {
	r := newRig(t)
	write(t, filepath.Join(r.root, "file"), "")
	if err := os.Mkdir(filepath.Join(r.root, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	readOnly := export(t, server.Options{Root: r.root, ReadOnly: true})
	named := newController(t, "shares: {tank: {server: 'tcp://127.0.0.1:1'}}")
	const nobody = "4242"
	for name, c := range map[string]struct {
		values map[string]string
		code   codes.Code
		says   []string
	}{
		"nobody listens":         {map[string]string{"server": "tcp://127.0.0.1:1"}, codes.Unavailable, []string{"tcp://127.0.0.1:1", "connection refused", "check that it runs"}},
		"a share, out of reach":  {map[string]string{"share": "tank"}, codes.Unavailable, []string{"share tank", "tcp://127.0.0.1:1", "check that it runs"}},
		"unknown share":          {map[string]string{"share": "tnak"}, codes.FailedPrecondition, []string{`"tnak"`, `"tank"`, "correct the parameter share"}},
		"unknown key":            {map[string]string{"server": r.url, "onDelet": "retain"}, codes.InvalidArgument, []string{"parameter onDelet", "did you mean onDelete"}},
		"wrong value":            {map[string]string{"server": r.url, "onDelete": "keep"}, codes.InvalidArgument, []string{`onDelete="keep"`, "retain"}},
		"wrong aname":            {map[string]string{"server": r.url, "aname": "/nosuch"}, codes.NotFound, []string{r.url, "/nosuch", "check aname"}},
		"aname of a file":        {map[string]string{"server": r.url, "aname": "/file"}, codes.FailedPrecondition, []string{r.url, "/file", "check aname"}},
		"may not write":          {map[string]string{"server": r.url, "attachUid": nobody}, codes.PermissionDenied, []string{r.url, "permission denied", "check attachUid"}},
		"may not give away":      {map[string]string{"server": r.url, "attachUid": nobody, "uid": "7"}, codes.PermissionDenied, []string{r.url, "check"}},
		"read-only":              {map[string]string{"server": readOnly}, codes.FailedPrecondition, []string{readOnly, "exports it read-only"}},
		"the directory is there": {map[string]string{"server": r.url, "subDir": "taken"}, codes.AlreadyExists, []string{`"taken"`, "choose another subDir", "static PersistentVolume"}},
		"a file in the way":      {map[string]string{"server": r.url, "subDir": "file/x"}, codes.FailedPrecondition, []string{r.url, "not a directory", "name another one"}},
	} {
		t.Run(name, func(t *testing.T) {
			request := &csi.CreateVolumeRequest{Name: "pvc-" + strings.ReplaceAll(name, " ", "-"), Parameters: c.values, VolumeCapabilities: mount}
			create := r.CreateVolume
			if c.values["share"] != "" {
				create = named.CreateVolume
			}
			_, err := create(t.Context(), request)
			if err == nil {
				t.Fatal("made")
			}
			if got := driver.Code(err); got != c.code {
				t.Errorf("%v, want %v", got, c.code)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
}

// TestEventsOfAnExpansion: csi-resizer makes an event of its error.
func TestEventsOfAnExpansion(t *testing.T) {
	r := newRig(t)
	for id, says := range map[string]string{
		"archive": "written by hand",
		r.url + "#7c9e6679-7425-40de-944b-e07fc1f90ae7": "does not exist",
	} {
		_, err := r.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: id, CapacityRange: &csi.CapacityRange{RequiredBytes: 1}})
		if driver.Code(err) != codes.NotFound || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
