package nodetest

import (
	"os"

	"golang.org/x/sys/unix"
)

// Files on a mount that this process serves are opened by these alone: os.Open
// adds a file to the runtime's poller, whose epoll_ctl(2) has the kernel ask the
// file system to POLL, which the runtime that waits for it cannot answer.

// WriteFile makes a file with that content.
func WriteFile(path, content string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	_, err = unix.Write(fd, []byte(content))
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	return err
}

// ReadFile returns the beginning of a file, up to 64 KiB.
func ReadFile(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	content := make([]byte, 64<<10)
	n, err := unix.Read(fd, content)
	return string(content[:max(n, 0)]), err
}
