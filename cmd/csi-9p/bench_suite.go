package main

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/csi-9p/csi-9p/bench"
	"github.com/csi-9p/csi-9p/bench/work"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// suiteProcs lets as many calls as the suite makes at a time wait in the kernel, each with a processor of Go's: otherwise it
// would be handed over, by a thread that costs the others their time.
const suiteProcs = 20

func suiteCommand() *cobra.Command {
	var flags benchFlags
	var against []string
	var run string
	var files int
	cmd := &cobra.Command{
		Use:   "suite DIR|URL",
		Short: "Reads, writes, metadata and small files, beside other file systems",
		Long: `suite mounts a share, which is DIR exported on a unix socket (or TCP, --transport) or the one at URL, and measures
direct and buffered I/O, metadata, small files, fairness between volumes, and what each parameter of a mount
does. It needs root.

Beside the mount it measures the same mount on FUSE's io_uring loop and the kernel's own 9P client, where the
kernel has them, DIR itself, a plain copy of as many bytes over the same kind of socket, and whatever is mounted
already at --against NAME=DIR. A second directory there is the same file system mounted without a cache of
attributes, and with writes that are not held back, for work that is to reach the server. Names that the ratios at the end look for are go-fuse and sshfs.

Work is done in temporary directories, which are removed.`,
		Example: `  csi-9p bench suite /srv/share
  csi-9p bench suite --run 'Direct I/O: read' --against nfs=/mnt/nfs tcp://10.0.0.5/tank
  csi-9p bench suite --against sshfs=/mnt/a:/mnt/uncached --json /srv/share`,
		Args: positional("DIR|URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			common, end := flags.options(args[0], cmd.ErrOrStderr())
			options := bench.SuiteOptions{Options: common, Files: files}
			var err error
			if options.Run, err = regexp.Compile(run); err != nil {
				return fmt.Errorf("%w: --run: %w", errUsage, err)
			}
			for _, a := range against {
				name, dirs, ok := strings.Cut(a, "=")
				if !ok {
					return fmt.Errorf("%w: --against %s: not NAME=DIR", errUsage, a)
				}
				dir, uncached, _ := strings.Cut(dirs, ":")
				options.Against = append(options.Against, bench.Baseline{Name: name, Dir: dir, Uncached: uncached})
			}
			runtime.GOMAXPROCS(suiteProcs)
			r, err := measured(bench.Suite(cmd.Context(), options))
			end()
			if err != nil {
				return err
			}
			return flags.show(r, cmd.OutOrStdout())
		},
	}
	flags.add(cmd.Flags(), 5, 100*time.Millisecond)
	cmd.Flags().StringArrayVar(&against, "against", nil, "a file system to measure beside, as NAME=DIR or NAME=DIR:UNCACHED; may be repeated")
	cmd.Flags().StringVar(&run, "run", "", "regular expression that selects by 'table: row' (default: all)")
	cmd.Flags().IntVar(&files, "files", 1000, "how many files metadata is measured with")
	return cmd
}

// peerCommand is the process that the suite copies bytes from and to.
func peerCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:    "peer --listen URL",
		Short:  "Answer requests of the plain copy",
		Hidden: true, // suite starts it
		Args:   positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := dial.Parse(listen)
			if err != nil {
				return fmt.Errorf("%w: --listen: %w", errUsage, err)
			}
			l, err := dial.Listen(cmd.Context(), u, dial.Options{})
			if err != nil {
				return err
			}
			defer context.AfterFunc(cmd.Context(), func() { l.Close() })()
			where := u.Path
			if where == "" {
				where = l.Addr().String()
			}
			fmt.Fprintf(cmd.OutOrStdout(), "copying on %s://%s\n", u.Scheme, where)
			return work.Copy(l)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "where, as a URL")
	return cmd
}
