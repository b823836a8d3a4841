package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/selfmount"
	"github.com/spf13/cobra"
)

// mountFlags are the flags of csi-9p mount.
type mountFlags struct {
	options    []string
	foreground bool
	logFile    string
	report     bool
	tls        tlsFlags
	serverName string
	process    mounter.Options
}

func mountCommand() *cobra.Command {
	var flags mountFlags
	cmd := &cobra.Command{
		Use:   "mount URL DIR",
		Short: "Mount a share on this machine",
		Long: `mount mounts a share through the client that is built in: the kernel needs FUSE and no 9P.

It returns when DIR is usable; a process in the background serves it until 'umount DIR', which
ends that process. With --foreground it stays, and Ctrl-C unmounts.

The options of -o are the parameters of a StorageClass (docs/parameters.md), such as cache=none,
msize=256Ki, access=user, attachUid=1000, subDir=some/dir or reconnectTimeout=30s, and the flags of
mount(8), such as ro, noexec and noatime.

A server at tls:// is shown the certificate of --tls-cert, and shows one itself, that an authority of
--tls-ca must have issued for the URL's host, or for --tls-server-name.`,
		Example: `  csi-9p mount tcp://10.0.0.5/tank /mnt
  csi-9p mount -o ro,cache=none 'unix:///run/9p.sock?aname=/x' /mnt
  csi-9p mount virtio://share0 /mnt
  csi-9p mount --tls-ca ca.crt --tls-cert tls.crt --tls-key tls.key tls://nas.example/tank /mnt
  umount /mnt`,
		Args: positional("URL", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return runMount(cmd.Context(), args[0], args[1], flags) },
	}
	cmd.Flags().StringSliceVarP(&flags.options, "options", "o", nil, "parameters and mount flags, separated by commas")
	cmd.Flags().BoolVar(&flags.foreground, "foreground", false, "stay, and log to standard error")
	cmd.Flags().StringVar(&flags.logFile, "log-file", "", "where the process in the background logs (default: nowhere)")
	flags.tls.add(cmd.Flags(), "for tls://")
	cmd.Flags().StringVar(&flags.serverName, "tls-server-name", "", "name that the server's certificate must be for (default: the URL's host)")
	addIOURing(cmd.Flags(), &flags.process.IOURing)
	addUnsafeDMA(cmd.Flags(), &flags.process.AllowUnsafeDMA)
	cmd.Flags().BoolVar(&flags.report, "report", false, "")
	_ = cmd.Flags().MarkHidden("report") // how mount calls itself
	return cmd
}

func runMount(ctx context.Context, url, dir string, flags mountFlags) error {
	if flags.serverName != "" {
		flags.options = append(flags.options, "tlsServerName="+flags.serverName)
	}
	m, err := selfmount.Parse(url, dir, flags.options, flags.tls.Files)
	if errors.Is(err, params.ErrInvalid) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err != nil {
		return err
	}
	m.Options = flags.process
	if m.IOURing, err = settleIOURing(ctx, flags.process.IOURing); err != nil {
		return err
	}
	if err := m.Check(); err != nil {
		return err
	}
	switch {
	case flags.report:
		return runReported(ctx, &m)
	case flags.foreground:
		return m.Run(ctx, func() {})
	}
	return runBackground(ctx, flags.logFile)
}

// runBackground mounts in a process of its own.
func runBackground(ctx context.Context, logFile string) error {
	var log *os.File
	if logFile != "" {
		var err error
		if log, err = os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
			return fmt.Errorf("--log-file: %w", err)
		}
		defer log.Close()
	}
	return selfmount.Background(ctx, append([]string{"--report=true"}, os.Args[1:]...), log)
}

// runReported is that process.
func runReported(ctx context.Context, m *selfmount.Mount) error {
	reporter, err := selfmount.NewReporter()
	if err == nil {
		err = m.Run(ctx, reporter.Ready)
	}
	if err != nil {
		reporter.Failed(err)
	}
	return err
}
