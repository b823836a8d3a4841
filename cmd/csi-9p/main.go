// Command csi-9p is the whole product in one binary: the CSI controller and node services, the mounter that owns a
// node's mounts, a server that exports a directory over 9P, and a mount command for use without Kubernetes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

// errUsage marks errors of the command line, which end with exit status 2 and a pointer to --help.
var errUsage = errors.New("wrong command line")

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	defer klog.Flush()

	root := rootCommand()
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "csi-9p: %v\nSee '%s --help'.\n", err, command.CommandPath())
		return 2
	default:
		fmt.Fprintf(os.Stderr, "csi-9p: %v\n", err)
		return 1
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "csi-9p",
		Short: "PersistentVolumes on shares that speak 9P",
		Long: `csi-9p provisions and mounts Kubernetes volumes on shares that speak 9P.

On a cluster, 'controller' makes the directories that volumes are, 'node' answers the kubelet, and
'mounter' owns the mounts, so that they outlive a restart of the node service. Without a cluster,
'serve' exports a directory and 'mount' mounts a share.

A share is named by a URL:
  tcp://host[:564][/aname]        tls://host[:564][/aname]
  unix:///path[?aname=/x]         vsock://cid[:564][/aname]
  virtio://mount_tag`,
		Example: `  csi-9p serve --listen tcp://127.0.0.1:5640 /srv/share
  csi-9p mount tcp://127.0.0.1:5640 /mnt`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	logs := flag.NewFlagSet("logs", flag.ContinueOnError)
	klog.InitFlags(logs)
	root.PersistentFlags().AddGoFlag(logs.Lookup("v"))
	root.PersistentFlags().AddGoFlag(logs.Lookup("vmodule"))
	root.AddCommand(serveCommand(), mountCommand(), controllerCommand(), mounterCommand(), nodeCommand(),
		benchCommand(), doctorCommand(), seccompCommand(), versionCommand())
	return root
}

func noSuchVerb(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%w: there is no command %q", errUsage, args[0])
}

// positional returns a check that a verb got exactly these arguments, by the names that its help gives them.
func positional(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("%w: %s is missing", errUsage, names[len(args)])
		}
		if len(args) > len(names) {
			return fmt.Errorf("%w: %q is one argument too many", errUsage, args[len(names)])
		}
		return nil
	}
}
