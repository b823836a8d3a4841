package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/csi-9p/csi-9p/bench/memory"
	"github.com/csi-9p/csi-9p/bench/rig"
)

func memoryCommand() *cobra.Command {
	var o memory.Options
	flags := benchFlags{transport: "unix"}
	cmd := &cobra.Command{
		Use:   "memory DIR|URL",
		Short: "Resident memory of a node's volumes, at rest and after much use",
		Long: `memory mounts volumes for real on one session, in this process, and shows what they take of its memory: idle, used,
after a great many opens, and after as many mounts beside them. It needs root.

A DIR is exported by another process. Directories are made in the share, and removed.`,
		Example: `  csi-9p bench memory /srv/share
  csi-9p bench memory --volumes 100 --opens 1000 --mounts 100 --json tcp://10.0.0.5/tank`,
		Args: positional("DIR|URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, end := flags.options(args[0], cmd.ErrOrStderr())
			o.Progress = options.Progress
			r, err := runMemory(cmd.Context(), o, args[0], flags.transport)
			end()
			if err != nil {
				return err
			}
			return writeMemory(r, flags.json, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&o.Volumes, "volumes", 1000, "volumes mounted at the same time")
	cmd.Flags().IntVar(&o.Opens, "opens", 100_000, "files opened over all volumes")
	cmd.Flags().IntVar(&o.Mounts, "mounts", 10_000, "volumes mounted and unmounted beside those")
	cmd.Flags().StringVar(&flags.transport, "transport", "unix", "how DIR is exported: unix or tcp")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	return cmd
}

// runMemory runs the bench on a share, or on a directory that is exported for it.
func runMemory(ctx context.Context, o memory.Options, target, transport string) (r *memory.Report, err error) {
	processes, err := rig.New("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, processes.Close()) }()
	if o.URL = target; !strings.Contains(target, "://") {
		if o.URL, err = processes.Serve(ctx, transport, "serve", target); err != nil {
			return nil, err
		}
	}
	o.Dir = processes.Path("mounts")
	if err := os.Mkdir(o.Dir, 0o755); err != nil {
		return nil, err
	}
	r, err = memory.Run(ctx, o)
	if errors.Is(err, memory.ErrUsage) {
		err = fmt.Errorf("%w: %w", errUsage, err)
	}
	return r, err
}

func writeMemory(r *memory.Report, json bool, out io.Writer) error {
	if json {
		return r.WriteJSON(out)
	}
	return r.WriteText(out)
}
