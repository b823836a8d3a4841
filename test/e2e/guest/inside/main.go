// Command inside is the first process of the lab's guest, and each of the scenarios that run there.
//
// As the first process it prepares the guest, then runs what the lab orders, one program after another. With a verb it is
// one of those programs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// scenarios are the verbs. Each gets the arguments that follow.
var scenarios = map[string]func(context.Context, []string) error{
	"bench":              bench,
	"doctor":             askDoctor,
	"driver":             lifeOfAVolume,
	"in-use":             inUse,
	"kernel-engine":      kernelEngine,
	"kernel-engine-lost": kernelEngineLost,
	"killed-mounter":     killedMounter,
	"tree":               tree,
	"v9fs":               v9fs,
	"vsock":              vsock,
}

// serveVerb is the verb of the process that obeys the lab.
const serveVerb = "serve"

func main() {
	if os.Getpid() == 1 {
		first()
	}
	if len(os.Args) == 2 && os.Args[1] == serveVerb {
		exit(serve())
	}
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		exit(fmt.Errorf("no such scenario: %q", os.Args[1:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	exit(scenarios[os.Args[1]](ctx, os.Args[2:]))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
