package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
)

// v9fs shows that the guest has the share: the kernel's client mounts it, and the host sees what is written there.
func v9fs(_ context.Context, args []string) (err error) {
	if len(args) != 1 {
		return errors.New("usage: inside v9fs TAG")
	}
	dir, err := os.MkdirTemp("", "v9fs-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	if err := unix.Mount(args[0], dir, "9p", 0, "trans=virtio,version=9p2000.L,msize=512000,cache=none"); err != nil {
		return fmt.Errorf("mounting %s: %w", args[0], err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(dir, 0)) }()
	const name, size = "v9fs.data", 3<<20 + 5
	sum, err := writeRandom(filepath.Join(dir, name), size)
	if err != nil {
		return err
	}
	if err := seenOnHost(name, sum); err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, name))
}

// writeRandom writes size bytes to a new file, and returns their digest.
func writeRandom(path string, size int) (string, error) {
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		return "", err
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return digest(content), nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// seenOnHost fails unless a file of the share has that digest on the host.
func seenOnHost(path, sum string) error {
	answer, err := ask(order.Question{Digest: path})
	if err != nil {
		return err
	}
	if answer.Digest != sum {
		return fmt.Errorf("%s has the digest %s on the host, %s was written", path, answer.Digest, sum)
	}
	return nil
}
