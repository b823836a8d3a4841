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
	c, err := bringUp(ctx, p, r)
	if err == nil {
		err = runProofs(ctx, p, c, r)
	}
	if err != nil {
		r.Add(report.Case{Suite: "lab", Name: "cluster", Outcome: report.Failed, Reason: err.Error()})
	}
	if p.Options.Keep && ctx.Err() == nil {
		r.Progress("The cluster is kept until it is interrupted. To run a command in it:\n  go run ./cmd/lab enter --lab %s [--node node1] -- kubectl get pods -A", filepath.Base(c.Dir))
		<-ctx.Done()
	}
	err = errors.Join(c.Stop(), writeJUnit(r, filepath.Join(p.Cluster.Reports, "junit.xml")))
	r.Summary()
	r.Progress("report and logs: %s", p.Cluster.Reports)
	if r.Failed() {
		err = errors.Join(err, errors.New("not all is as it should be"))
	}
	return err
}

func bringUp(ctx context.Context, p *plan, r *report.Report) (*cluster.Cluster, error) {
	for _, name := range build.StandIns {
		r.Note("%s is a stand-in of the lab with the flags of the real one, whose image cannot be had here", name)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	started := time.Now()
	c, err := cluster.Start(ctx, p.Cluster)
	if err != nil {
		return c, fmt.Errorf("starting the cluster: %w", err)
	}
	r.Add(report.Case{Suite: "lab", Name: "cluster", About: fmt.Sprintf("%d nodes are ready", len(c.Nodes)), Duration: time.Since(started)})
	started = time.Now()
	if err := c.Install(ctx, p.Manifest); err != nil {
		err = fmt.Errorf("installing the driver: %w", err)
		collect, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return c, errors.Join(err, c.Collect(collect, filepath.Join(c.Reports, "install")))
	}
	r.Add(report.Case{Suite: "lab", Name: "install", About: "the driver serves, from the repository's manifests", Duration: time.Since(started)})
	return c, nil
}

// runProofs runs the proofs that the command line asks for.
func runProofs(ctx context.Context, p *plan, c *cluster.Cluster, r *report.Report) error {
	name, err := regexp.Compile(p.Options.Run)
	if err != nil {
		return err
	}
	for _, one := range proof.Proofs() {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted before %s/%s", one.Suite, one.Name)
		}
		if (p.Options.Suite == "all" || p.Options.Suite == one.Suite) && name.MatchString(one.Name) {
			suite.Run(ctx, c, r, one)
		}
	}
	if p.Options.external() && ctx.Err() == nil {
		r.Note(external.Note)
		suite.Run(ctx, c, r, external.Proof(p.Options.Run))
	}
	return nil
}

func writeJUnit(r *report.Report, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJUnit(f), f.Close())
}
