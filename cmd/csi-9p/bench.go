package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/csi-9p/csi-9p/bench"
	"github.com/csi-9p/csi-9p/bench/report"
)

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
