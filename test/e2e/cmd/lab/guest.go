package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/csi-9p/csi-9p/test/e2e/build"
	"github.com/csi-9p/csi-9p/test/e2e/guest"
	"github.com/csi-9p/csi-9p/test/e2e/report"
	"github.com/csi-9p/csi-9p/test/e2e/residue"
)

// guestOptions are the command line of the verb guest.
type guestOptions struct {
	run     string
	exec    string
	page    string
	reports string
	cache   string
}

func guestCommand() *cobra.Command {
	var o guestOptions
	cmd := &cobra.Command{
		Use:   "guest [--exec PROGRAM [-- ARGUMENT...]]",
		Short: "Boot virtual machines with a virtio-9p device, prove in them what is to be proved, leave nothing behind",
		RunE:  func(cmd *cobra.Command, args []string) error { return runGuest(cmd.Context(), o, args) },
	}
	cache := defaultCache()
	cmd.Flags().StringVar(&o.run, "run", "", "run only the steps whose GUEST/STEP matches this regular expression, such as 6.1-vfio/vsock")
	cmd.Flags().StringVar(&o.exec, "exec", "", "instead of the steps run this static program in each guest that --run matches, and show what it prints")
	cmd.Flags().StringVar(&o.page, "page", "", "fill the place for the guest's measurements in this page")
	cmd.Flags().StringVar(&o.reports, "report", filepath.Join(cache, "reports", time.Now().UTC().Format("20060102-150405")+"-guest"), "directory of the report")
	cmd.Flags().StringVar(&o.cache, "cache", cache, "directory of what is built once (CSI9P_LAB_CACHE)")
	return cmd
}

func runGuest(ctx context.Context, o guestOptions, args []string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the lab installs packages and shares files of any owner: run it as root")
	}
	match, err := regexp.Compile(o.run)
	if err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	if o.exec == "" && len(args) > 0 {
		return errors.New("arguments are those of --exec")
	}
	for _, dir := range []*string{&o.reports, &o.cache} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
		if err := os.MkdirAll(*dir, 0o755); err != nil {
			return err
		}
	}
	module, err := moduleDir()
	if err != nil {
		return err
	}
	artifacts, err := guest.Prepare(ctx, &build.Builder{Cache: o.cache, Module: module, Output: os.Stdout})
	if err != nil {
		return err
	}
	before, err := residue.Look()
	if err != nil {
		return err
	}
	r, err := newRun(o.cache)
	if err != nil {
		return err
	}
	if err := os.Setenv(residue.Marker, r.Dir); err != nil { // that of every process it starts
		return err
	}
	told := report.New(os.Stdout)
	lab := &guest.Lab{Artifacts: artifacts, Report: told, Reports: o.reports, Dir: r.Dir, Cache: o.cache, Run: match, Page: o.page}
	if o.exec != "" {
		lab.Exec = append([]string{o.exec}, args...)
	}
	err = lab.Prove(ctx)
	told.Summary()
	told.Progress("report and consoles: %s", o.reports)
	if told.Failed() {
		err = errors.Join(err, errors.New("not all is as it should be"))
	}
	return errors.Join(err, told.Save(filepath.Join(o.reports, "junit.xml")), leave(r, before, o.reports))
}
