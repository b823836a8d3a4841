package mounter_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/nodetest"
)

// as runs a script in the mount as that user.
func (m mounted) as(t *testing.T, uid uint32, script string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `cd "$0" && `+script, m.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// With access: user the server sees each local user as itself, and decides.
func TestEachUserIsItselfToTheServer(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	s := spec(t, e, "v", "v")
	s.Context.Parameters.Access = params.AccessUser
	onServer := filepath.Join(e.Root, "v")
	if err := os.Chmod(onServer, 0o777); err != nil {
		t.Fatal(err)
	}
	mnt := serve(t, m, s)
	letIn(t, filepath.Dir(mnt.dir))
	const alice, bob = 20001, 20002
	for uid, name := range map[uint32]string{alice: "alice", bob: "bob"} {
		if out, err := mnt.as(t, uid, "umask 077 && echo mine > "+name); err != nil {
			t.Fatalf("%s makes a file: %v %s", name, err, out)
		}
		info, err := os.Stat(filepath.Join(onServer, name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || info.Mode().Perm() != 0o600 {
			t.Errorf("%s's file on the server: user %d, mode %v", name, st.Uid, info.Mode())
		}
	}
	if out, err := mnt.as(t, alice, "cat alice"); err != nil || out != "mine\n" {
		t.Errorf("alice reads her file: %q, %v", out, err)
	}
	if out, err := mnt.as(t, bob, "cat alice"); err == nil {
		t.Errorf("bob reads alice's file: %q", out)
	}
	if out, err := mnt.as(t, bob, "chmod 666 alice"); err == nil {
		t.Errorf("bob opens alice's file to all: %q", out)
	}
	mnt.unmount(t)
	if err := m.Release(t.Context(), "v"); err != nil {
		t.Error(err)
	}
}
