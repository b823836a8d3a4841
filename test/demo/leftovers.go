package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
)

// nothingLeft checks that no mount, process, socket or file of the demo remains, but for the directories that the
// caller made and the logs.
func (c *cluster) nothingLeft(context.Context) (string, error) {
	mounts, err := mountsBeneath(c.dir)
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		err = errors.Join(err, fmt.Errorf("still mounted: %s", m))
	}
	files, walkErr := filesBeneath(c.dir)
	err = errors.Join(err, walkErr)
	for _, f := range files {
		err = errors.Join(err, fmt.Errorf("still there: %s", f))
	}
	processes, procErr := processesNaming(c.dir)
	err = errors.Join(err, procErr)
	for _, p := range processes {
		err = errors.Join(err, fmt.Errorf("still running: %s", p))
	}
	return "no mount, process, socket or file", err
}

func mountsBeneath(dir string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return nil, err
	}
	var mounts []string
	for _, m := range infos {
		mounts = append(mounts, m.Mountpoint)
	}
	return mounts, nil
}

// filesBeneath lists what is no directory and no log.
func filesBeneath(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) != ".log" {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// processesNaming lists the processes, other than this one, with the text in their command line.
func processesNaming(text string) ([]string, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), text) {
			found = append(found, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return found, nil
}

// detachAll unmounts what a failed demo left mounted, the innermost first.
func detachAll(dir string) error {
	mounts, err := mountsBeneath(dir)
	for i := len(mounts) - 1; i >= 0; i-- {
		err = errors.Join(err, syscall.Unmount(mounts[i], syscall.MNT_DETACH))
	}
	return err
}
