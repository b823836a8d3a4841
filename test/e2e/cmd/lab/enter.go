package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/csi-9p/csi-9p/test/e2e/nsenter"
)

func enterCommand() *cobra.Command {
	var node, lab string
	cmd := &cobra.Command{
		Use:   "enter [--node NAME] [-- COMMAND ...]",
		Short: "Run a command, or a shell, in a cluster that runs: on the admin host, which has kubectl, or on a node",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"bash"}
			}
			return enter(lab, node, args)
		},
	}
	cmd.Flags().StringVar(&node, "node", "", "name of the node; empty: the admin host")
	cmd.Flags().StringVar(&lab, "lab", "", "which lab, if several are running: its number, as cluster --keep tells it")
	return cmd
}

// enter runs a command in the namespaces of a lab's process, with that process's environment.
func enter(lab, node string, argv []string) error {
	pid, dir, err := findFirst(lab, node)
	if err != nil {
		return err
	}
	target, err := nsenter.Open(pid)
	if err != nil {
		return err
	}
	defer target.Close()
	path := filepath.Join(dir, "programs") + ":/usr/sbin:/usr/bin:/sbin:/bin"
	os.Setenv("PATH", path) // by which the command is found
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"HOME=" + dir, "KUBECONFIG=" + filepath.Join(dir, "admin.kubeconfig"), "PATH=" + path, "TERM=" + os.Getenv("TERM")}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := target.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// findFirst returns the first process of a node, or of the admin host, and the directory of its lab.
func findFirst(lab, node string) (pid int, dir string, err error) {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, "", err
	}
	verb, config := adminVerb, "plan.json"
	if node != "" {
		verb, config = nodeVerb, filepath.Join(node, "init.json")
	}
	for _, path := range processes {
		b, _ := os.ReadFile(path)
		argv := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		if len(argv) != 3 || argv[1] != verb {
			continue
		}
		found, ok := strings.CutSuffix(argv[2], "/"+config)
		if !ok || lab != "" && filepath.Base(found) != lab {
			continue
		}
		if dir != "" {
			return 0, "", fmt.Errorf("several labs are running, %s and %s: choose with --lab", filepath.Base(dir), filepath.Base(found))
		}
		if pid, err = strconv.Atoi(filepath.Base(filepath.Dir(path))); err != nil {
			return 0, "", err
		}
		dir = found
	}
	if dir == "" {
		return 0, "", errors.New("no lab with such a node is running: start one with cluster --keep")
	}
	return pid, dir, nil
}
