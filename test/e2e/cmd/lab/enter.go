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
	var node string
	cmd := &cobra.Command{
		Use:   "enter [--node NAME] [-- COMMAND ...]",
		Short: "Run a command, or a shell, in a cluster that runs: on the admin host, which has kubectl, or on a node",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"bash"}
			}
			return enter(node, args)
		},
	}
	cmd.Flags().StringVar(&node, "node", "", "name of the node; empty: the admin host")
	return cmd
}

// enter runs a command in the namespaces of a lab's process, with that process's environment.
func enter(node string, argv []string) error {
	pid, environment, err := findFirst(node)
	if err != nil {
		return err
	}
	target, err := nsenter.Open(pid)
	if err != nil {
		return err
	}
	defer target.Close()
	for _, v := range environment {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			os.Setenv("PATH", path) // by which the command is found
		}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(environment, "TERM="+os.Getenv("TERM"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := target.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// findFirst returns the first process of a node, or of the admin host, and the environment of the lab's processes.
func findFirst(node string) (pid int, environment []string, err error) {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, nil, err
	}
	for _, path := range processes {
		b, _ := os.ReadFile(path)
		argv := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		if len(argv) != 3 {
			continue
		}
		dir := ""
		switch {
		case node == "" && argv[1] == adminVerb && filepath.Base(argv[2]) == "plan.json":
			dir = filepath.Dir(argv[2])
		case node != "" && argv[1] == nodeVerb && strings.HasSuffix(argv[2], "/"+node+"/init.json"):
			dir = filepath.Dir(filepath.Dir(argv[2]))
		default:
			continue
		}
		if pid != 0 {
			return 0, nil, errors.New("several labs are running")
		}
		if pid, err = strconv.Atoi(filepath.Base(filepath.Dir(path))); err != nil {
			return 0, nil, err
		}
		environment = []string{
			"HOME=" + dir, "KUBECONFIG=" + filepath.Join(dir, "admin.kubeconfig"),
			"PATH=" + filepath.Join(dir, "programs") + ":/usr/sbin:/usr/bin:/sbin:/bin",
		}
	}
	if pid == 0 {
		return 0, nil, fmt.Errorf("no lab with such a node is running: start one with --keep")
	}
	return pid, environment, nil
}
