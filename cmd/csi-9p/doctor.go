package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/csi-9p/csi-9p/doctor"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/spf13/cobra"
)

// doctorFlags are the flags of csi-9p doctor.
type doctorFlags struct {
	json, readOnly bool
	unsafeDMA      bool
	attachUID      uint32
	tls            tlsFlags
	serverName     string
}

func doctorCommand() *cobra.Command {
	var flags doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [URL]",
		Short: "Tell what this machine, and a server, can do and what is missing",
		Long: `doctor looks at what mounting a share needs: the privilege, the kernel's FUSE, io_uring, vsock, virtio-9p
devices and the ways to them, and the kernel's own 9P client. With a URL it looks at what that URL needs, and at
the server: whether it can be reached, its dialects, the size of messages, the round trip, and whether extended
attributes and locks work, the latter with two clients. One line tells one thing: ok, warn (something is not there
that what was asked for can do without) or fail, and what to do behind the arrow.

Nothing is changed on the machine; the device of a virtio:// URL is taken from the kernel and given back. On the
share, a directory .csi-9p-doctor-* with an empty file is made and removed; with --read-only it is not, and what
takes writing is left out.

The exit status is 0 if volumes can be mounted, 1 if not, 2 for a wrong command line.`,
		Example: `  csi-9p doctor
  csi-9p doctor tcp://10.0.0.5/tank
  csi-9p doctor --json --read-only tcp://10.0.0.5/tank
  csi-9p doctor --tls-ca ca.crt --tls-cert tls.crt --tls-key tls.key tls://nas.example/tank`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%w: %q is one argument too many", errUsage, args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDoctor(cmd.Context(), args, flags, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&flags.readOnly, "read-only", false, "make nothing on the share")
	cmd.Flags().Uint32Var(&flags.attachUID, "attach-uid", 0, "who to be on the server: the parameter attachUid")
	addUnsafeDMA(cmd.Flags(), &flags.unsafeDMA)
	flags.tls.add(cmd.Flags(), "for tls://")
	cmd.Flags().StringVar(&flags.serverName, "tls-server-name", "", "name that the server's certificate must be for (default: the URL's host)")
	return cmd
}

// errUnusable ends doctor with status 1 after its report.
var errUnusable = errors.New("volumes cannot be mounted")

func runDoctor(ctx context.Context, args []string, flags doctorFlags, out io.Writer) error {
	options := doctor.Options{AttachUID: flags.attachUID, ReadOnly: flags.readOnly, AllowUnsafeDMA: flags.unsafeDMA}
	if len(args) > 0 {
		url, err := dial.Parse(args[0])
		if err == nil && flags.serverName != "" {
			url.ServerName, err = dial.ServerName(flags.serverName)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		options.URL = &url
	}
	var err error
	if options.TLS, err = flags.tls.source(); err != nil {
		return err
	}
	report := doctor.Run(ctx, doctor.ThisMachine(), options)
	if flags.json {
		err = report.WriteJSON(out)
	} else {
		err = report.WriteText(out)
	}
	if err == nil && !report.Usable {
		err = fmt.Errorf("%w: checks that failed: %d", errUnusable, report.Failed())
	}
	return err
}
