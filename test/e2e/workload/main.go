// Command workload is what the pods of the lab's proofs run: I/O that checks itself.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// verbs are what the program can do with its one argument.
var verbs = map[string]func(ctx context.Context, path string) error{
	"verify": verify,
	"dirty":  dirty,
}

func main() {
	if len(os.Args) != 3 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: workload verify DIR | dirty FILE")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := verbs[os.Args[1]](ctx, os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}
