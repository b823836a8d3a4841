package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/csi-9p/csi-9p/bench"
	"github.com/csi-9p/csi-9p/bench/report"
	"github.com/csi-9p/csi-9p/bench/work"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// suiteProcs lets as many calls as the suite makes at a time wait in the kernel, each with a processor of Go's: otherwise it
// would be handed over, by a thread that costs the others their time.
const suiteProcs = 20

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine is with it",
		Long: `bench measures, and prints tables (Markdown) or JSON. What is compared takes turns, round after round,
because machines are not quiet; the tables have medians and spreads.`,
		Args: noSuchVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(sweepCommand(), suiteCommand(), memoryCommand(), peerCommand())
	return cmd
}

// benchFlags are the flags that the benches have in common.
type benchFlags struct {
	rounds    int
	slice     time.Duration
	area      byteSize
	transport string
	json      bool
	plot      string
}

func (f *benchFlags) add(flags *pflag.FlagSet, rounds int, slice time.Duration) {
	f.area = 64 << 20
	flags.IntVar(&f.rounds, "rounds", rounds, "interleaved rounds")
	flags.DurationVar(&f.slice, "slice", slice, "how long each thing is measured in a round")
	flags.Var(&f.area, "area", "size of the files that are read and written, such as 64Mi")
	flags.StringVar(&f.transport, "transport", "unix", "how DIR is exported: unix or tcp")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.StringVar(&f.plot, "plot", "", "draw a plot to this file (SVG)")
}

// options are those of a bench whose progress goes to a terminal, if there is one, and what ends that.
func (f *benchFlags) options(target string, stderr io.Writer) (bench.Options, func()) {
	o := bench.Options{
		Target: target, Transport: f.transport, Rounds: f.rounds, Slice: f.slice, Area: int64(f.area),
		Program: "/proc/self/exe", Progress: func(string, float64) {},
	}
	terminal, is := stderr.(*os.File)
	if !is {
		return o, func() {}
	}
	if _, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS); err != nil {
		return o, func() {}
	}
	const clear = "\r\x1b[K"
	o.Progress = func(what string, done float64) { fmt.Fprintf(terminal, clear+"%3.0f %%  %s", 100*done, what) }
	return o, func() { fmt.Fprint(terminal, clear) }
}

// byteSize is a flag in bytes, or as Kubernetes writes quantities.
type byteSize int64

func (s *byteSize) String() string {
	return resource.NewQuantity(int64(*s), resource.BinarySI).String()
}
func (s *byteSize) Type() string { return "bytes" }

func (s *byteSize) Set(text string) error {
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Value() <= 0 {
		return errors.New("not a size as in 64Mi")
	}
	*s = byteSize(q.Value())
	return nil
}

// show prints a report and draws its plot.
func (f *benchFlags) show(r *report.Report, out io.Writer) error {
	if f.plot != "" {
		if err := writePlot(f.plot, r); err != nil {
			return err
		}
	}
	if f.json {
		return r.WriteJSON(out)
	}
	return r.WriteText(out)
}

// writePlot replaces the file at path.
func writePlot(path string, r *report.Report) error {
	file, err := os.Create(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("--plot: %w", err)
	}
	return errors.Join(r.WritePlot(file), file.Close())
}

// measured marks wrong options as errors of usage.
func measured(r *report.Report, err error) (*report.Report, error) {
	if errors.Is(err, bench.ErrUsage) {
		err = fmt.Errorf("%w: %w", errUsage, err)
	}
	return r, err
}

func sweepCommand() *cobra.Command {
	var flags benchFlags
	var through string
	var inFlight int
	cmd := &cobra.Command{
		Use:   "sweep DIR|URL",
		Short: "Writes and reads by I/O size, with zero copy off and on",
		Long: `sweep writes and reads by I/O size from 1 byte to 4 MiB, with zero copy off and on side by side, and says from
which size on zero copy pays on this machine and transport.

A DIR is exported on a unix socket (or TCP, --transport) and mounted twice, which needs root; the mounts
are read and written by direct I/O. At a URL a server runs already, and the client itself is measured,
without a mount. --through has it the other way round. Files are made in a temporary directory or name
below it, and removed.`,
		Example: `  csi-9p bench sweep /srv/share
  csi-9p bench sweep --plot sweep.svg --json tcp://10.0.0.5/tank > sweep.json`,
		Args: positional("DIR|URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, end := flags.options(args[0], cmd.ErrOrStderr())
			r, err := measured(bench.Sweep(cmd.Context(), bench.SweepOptions{Options: options, Through: through, InFlight: inFlight}))
			end()
			if err != nil {
				return err
			}
			return flags.show(r, cmd.OutOrStdout())
		},
	}
	flags.add(cmd.Flags(), 21, 30*time.Millisecond)
	cmd.Flags().StringVar(&through, "through", "", "what is measured: client or mount (default: mounts of a DIR, the client of a URL)")
	cmd.Flags().IntVar(&inFlight, "in-flight", 1, "how many reads or writes at a time")
	return cmd
}

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
