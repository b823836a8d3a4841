package main

import (
	"errors"
	"os"
	"strings"
)

// settings are the kernel's, for the time of a run.
var settings = map[string]string{
	// FUSE over io_uring is switched off by default.
	"/sys/module/fuse/parameters/enable_uring": "Y",
	// go-fuse splices its reads through a pipe that has to hold the largest of them and its head; with less it copies.
	"/proc/sys/fs/pipe-max-size": "4194304",
}

// configure changes the settings that this kernel has until close.
func (s *stand) configure() error {
	for path, value := range settings {
		old, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(old)) == value {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return err
		}
		s.ends = append(s.ends, func() error { return os.WriteFile(path, old, 0) })
	}
	return nil
}
