package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/csi-9p/csi-9p/bench"
)

func sweepCommand() *cobra.Command {
	var flags benchFlags
	var o bench.SweepOptions
	cmd := &cobra.Command{
		Use:   "sweep DIR|URL",
		Short: "Writes and reads by I/O size, with zero copy off and on",
		Long: `sweep writes and reads by I/O size from 1 byte to 4 MiB, with zero copy off and on side by side, and says from
which size on zero copy pays on this machine and transport. A round is four slices: off, on, on, off. In
parentheses stands the interval that has the median of the rounds' ratios with a confidence of 95 %.

A DIR is exported on a unix socket (or TCP, --transport) and mounted twice, which needs root; the mounts
are read and written by direct I/O. At a URL a server runs already, and the client itself is measured,
without a mount. --through has it the other way round. Files are made in a temporary directory or name
below it, and removed.`,
		Example: `  csi-9p bench sweep /srv/share
  csi-9p bench sweep --plot sweep.svg --json tcp://10.0.0.5/tank > sweep.json`,
		Args: positional("DIR|URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, end := flags.options(args[0], cmd.ErrOrStderr())
			o.Options = options
			r, err := measured(bench.Sweep(cmd.Context(), o))
			end()
			if err != nil {
				return err
			}
			return flags.show(r, cmd.OutOrStdout())
		},
	}
	flags.add(cmd.Flags(), 150, 2*time.Millisecond)
	cmd.Flags().StringVar(&o.Through, "through", "", "what is measured: client or mount (default: mounts of a DIR, the client of a URL)")
	cmd.Flags().IntVar(&o.InFlight, "in-flight", 1, "how many reads or writes at a time")
	addUnsafeDMA(cmd.Flags(), &o.AllowUnsafeDMA)
	return cmd
}
