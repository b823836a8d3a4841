package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

func seccompCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "seccomp FILE TARGET",
		Short: "Install a seccomp profile where the kubelet looks for it",
		Long: `Copy the seccomp profile in FILE to TARGET, whose directory is made if it is missing.

A pod can use a profile of its own (seccompProfile.type Localhost) only if the file lies below the
kubelet's directory seccomp on its node. The overlay vsock runs this in an init container: the image has
no shell and no cp. Whoever reads TARGET meanwhile sees the old profile or the new one.`,
		Example: `  csi-9p seccomp /profile/vsock.json /var/lib/kubelet/seccomp/csi-9p/vsock.json`,
		Args:    positional("FILE", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := installSeccompProfile(args[0], args[1]); err != nil {
				return err
			}
			klog.FromContext(cmd.Context()).Info("Installed the seccomp profile", "profile", args[0], "target", args[1])
			return nil
		},
	}
}

// installSeccompProfile replaces target by the profile in file, if it is one.
func installSeccompProfile(file, target string) (err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var profile struct {
		DefaultAction string `json:"defaultAction"`
	}
	if err := json.Unmarshal(data, &profile); err != nil || profile.DefaultAction == "" {
		return errors.Join(fmt.Errorf("%s is no seccomp profile: a JSON object with defaultAction is expected", file), err)
	}
	dir := filepath.Dir(target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	aside, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(aside.Name()))
		}
	}()
	_, err = aside.Write(data)
	if err = errors.Join(err, aside.Chmod(0o644), aside.Sync(), aside.Close()); err != nil {
		return err
	}
	return os.Rename(aside.Name(), target)
}
