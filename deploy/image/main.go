// Command image builds the container image of csi-9p without a daemon: what the Dockerfile at the root describes, for
// each platform, the same byte for byte wherever it is built from the same commit with the same release of Go.
//
// It leaves in the output directory
//
//	image/                       an OCI image layout that holds an index of all platforms
//	csi-9p-image-ARCH.tar        for each platform, an archive for `ctr images import` and `docker load`
//
// and pushes the index to a registry where it is told to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	source    string
	output    string
	version   string
	revision  string
	name      string
	platforms string
	push      string
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&o.source, "source", "../..", "root of the source tree")
	flags.StringVar(&o.output, "output", "", "directory for what is built (default: bin in the source tree)")
	flags.StringVar(&o.version, "version", "", "version to stamp (default: git describe)")
	flags.StringVar(&o.revision, "revision", "", "commit that the image is made from (default: git rev-parse HEAD)")
	flags.StringVar(&o.name, "name", "", "name of the image in the archives (default: ghcr.io/csi-9p/csi-9p:VERSION)")
	flags.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64", "what to build for")
	flags.StringVar(&o.push, "push", "", "push to this name in a registry too, with the credentials of `docker login`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is one argument too many", flags.Arg(0))
	}
	if o.output == "" {
		o.output = filepath.Join(o.source, "bin")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	from, err := examine(ctx, o)
	if err != nil {
		return err
	}
	if o.name == "" {
		o.name = "ghcr.io/csi-9p/csi-9p:" + from.version
	}
	ref, err := name.NewTag(o.name, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("--name: %w", err)
	}
	images, err := buildAll(ctx, from, strings.Split(o.platforms, ","))
	if err != nil {
		return err
	}
	index, err := assemble(images, from)
	if err != nil {
		return err
	}
	if err := write(o.output, ref, index, images, out); err != nil {
		return err
	}
	if o.push == "" {
		return nil
	}
	return push(ctx, o.push, index, out)
}
