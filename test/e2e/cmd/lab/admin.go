package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/csi-9p/csi-9p/test/e2e/build"
	"github.com/csi-9p/csi-9p/test/e2e/cluster"
	"github.com/csi-9p/csi-9p/test/e2e/external"
	"github.com/csi-9p/csi-9p/test/e2e/proof"
	"github.com/csi-9p/csi-9p/test/e2e/report"
	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// startTimeout is how long a cluster may take to come up, on a machine that is busy with other things too.
const startTimeout = 3 * time.Minute

// adminCommand is the first process of the admin host.
func adminCommand() *cobra.Command {
	return &cobra.Command{
		Use: adminVerb, Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			p := new(plan)
			if err := json.Unmarshal(b, p); err != nil {
				return err
			}
			if err := cluster.InitAdmin(p.Cluster.Cache, p.Cluster.Dir, p.Cluster.Reports); err != nil {
				return err
			}
			return prove(cmd.Context(), p)
		},
	}
}

// prove brings the cluster up, runs the proofs and writes the report.
func prove(ctx context.Context, p *plan) error {
	r := report.New(os.Stdout)
	for _, note := range build.Notes(imagesOf(p.Manifest)) {
		r.Note("%s", note)
	}
	c := bringUp(ctx, p, r)
	if !r.Failed() {
		runProofs(ctx, p, c, r)
	}
	if p.Options.Keep && ctx.Err() == nil {
		r.Progress("The cluster is kept until it is interrupted. To run a command in it:\n  go run ./cmd/lab enter --lab %s [--node node1] -- kubectl get pods -A", filepath.Base(c.Dir))
		<-ctx.Done()
	}
	err := errors.Join(c.Stop(), r.Save(filepath.Join(p.Cluster.Reports, "junit.xml")))
	r.Summary()
	r.Progress("report and logs: %s", p.Cluster.Reports)
	if r.Failed() {
		err = errors.Join(err, errors.New("not all is as it should be"))
	}
	return err
}

// bringUp starts the cluster with the driver in it.
func bringUp(ctx context.Context, p *plan, r *report.Report) *cluster.Cluster {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	started := time.Now()
	step := report.Case{Suite: labSuite, Name: "cluster", About: "the nodes are ready"}
	c, err := cluster.Start(ctx, p.Cluster)
	r.Add(step.End(started, err))
	if err != nil {
		return c
	}
	started = time.Now()
	step = report.Case{Suite: labSuite, Name: "install", About: "the driver serves, from the repository's manifests"}
	if err = c.Install(ctx, p.Manifest); err != nil {
		collect, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, c.Collect(collect, filepath.Join(c.Reports, "install")))
	}
	r.Add(step.End(started, err))
	return c
}

// runProofs runs the proofs that the command line asks for.
func runProofs(ctx context.Context, p *plan, c *cluster.Cluster, r *report.Report) {
	name := regexp.MustCompile(p.Options.Run) // runCluster has tried
	matched := p.Options.Suite == "none" || p.Options.external()
	for _, one := range proof.Proofs() {
		if ctx.Err() != nil {
			r.Add(report.Case{Suite: one.Suite, Name: one.Name, Outcome: report.Failed, Reason: "the lab was interrupted before"})
			return
		}
		if (p.Options.Suite == "all" || p.Options.Suite == one.Suite) && name.MatchString(one.Name) {
			matched = true
			suite.Run(ctx, c, r, one)
		}
	}
	if !matched {
		r.Add(report.Case{Suite: labSuite, Name: "proofs", Outcome: report.Failed,
			Reason: fmt.Sprintf("no proof of the suite %q has a name that matches %q", p.Options.Suite, p.Options.Run)})
	}
	if p.Options.external() && ctx.Err() == nil {
		r.Note(external.Note)
		suite.Run(ctx, c, r, external.Proof(p.Options.Run))
	}
}
