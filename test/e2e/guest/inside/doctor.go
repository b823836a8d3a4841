package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// askDoctor shows that csi-9p doctor tells whether a device can be had, and gives it back.
func askDoctor(ctx context.Context, args []string) (err error) {
	s, err := shareOf(args)
	if err != nil {
		return err
	}
	if err := s.usable(ctx); err != nil {
		return err
	}
	if slices.Contains(s.flags, "--allow-unsafe-dma") {
		if err := s.unusable(ctx, "--allow-unsafe-dma"); err != nil {
			return fmt.Errorf("without that flag: %w", err)
		}
	}
	err = whileMounted(s, func(dir string) error { return s.unusable(ctx, "mounted on "+dir, s.flags...) })
	if err != nil {
		return fmt.Errorf("while the kernel has it: %w", err)
	}
	dir, err := os.MkdirTemp("", "doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	target := dir + "/mount"
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	p, err := startMount(ctx, dir, s.server, target, "cache=none", s.flags...)
	if err != nil {
		return err
	}
	if err := errors.Join(s.unusable(ctx, "drives it", s.flags...), unix.Unmount(target, 0), p.wait()); err != nil {
		return fmt.Errorf("while another process has it: %w", err)
	}
	return s.usable(ctx)
}

// opinion is what csi-9p doctor says.
type opinion struct {
	Usable bool
	Checks []check
}

// check is what it says of one thing.
type check struct{ Name, Status, Found, Cure string }

// askAbout runs csi-9p doctor about the share.
func (s share) askAbout(ctx context.Context, flags ...string) (opinion, error) {
	var o opinion
	out, failed := exec.CommandContext(ctx, driver, append([]string{"doctor", "--json", s.server}, flags...)...).Output()
	if err := json.Unmarshal(out, &o); err != nil {
		return o, errors.Join(failed, fmt.Errorf("doctor says %q: %w", out, err))
	}
	if o.Usable != (failed == nil) {
		return o, fmt.Errorf("doctor says %s and ends with: %w", out, failed)
	}
	return o, nil
}

// usable fails unless doctor says that the device can be had, and it is the kernel's after that.
func (s share) usable(ctx context.Context) error {
	o, err := s.askAbout(ctx, s.flags...)
	if err != nil {
		return err
	}
	if !o.Usable || !slices.ContainsFunc(o.Checks, func(c check) bool { return strings.Contains(c.Found, "9P2000.L") }) {
		return fmt.Errorf("doctor finds a device that is free unusable: %+v", o)
	}
	return whileMounted(s, func(string) error { return nil })
}

// unusable fails unless doctor says that it cannot, and why.
func (s share) unusable(ctx context.Context, why string, flags ...string) error {
	o, err := s.askAbout(ctx, flags...)
	if err != nil {
		return err
	}
	said := func(c check) bool {
		return c.Status == "fail" && strings.Contains(c.Found+c.Cure, why)
	}
	if o.Usable || !slices.ContainsFunc(o.Checks, said) {
		return fmt.Errorf("doctor does not say %q: %+v", why, o)
	}
	return nil
}
