package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
)

// openPort opens the port of the virtio console that has the name, once there is one. Its caller closes the file.
func openPort(name string) (*order.Port, *os.File, error) {
	f, err := openFile(name)
	return order.NewPort(f), f, err
}

// openFile is openPort for one that carries no lines.
func openFile(name string) (*os.File, error) {
	const patience = 20 * time.Second // the kernel hears of a port's name after it has heard of the port
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		device, err := findPort(name)
		if err == nil {
			return openBlocking(device)
		}
		if time.Now().After(deadline) {
			return nil, err
		}
	}
}

func findPort(name string) (string, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return "", err
	}
	for _, path := range names {
		if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == name {
			return "/dev/" + filepath.Base(filepath.Dir(path)), nil
		}
	}
	return "", fmt.Errorf("there is no port %s among %q", name, names)
}

// openBlocking opens a port without Go's poller: a port that nothing has come from yet would seem to have ended.
func openBlocking(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// ask asks the lab a question about the host's side.
func ask(q order.Question) (order.Answer, error) {
	port, f, err := openPort(order.Host)
	if err != nil {
		return order.Answer{}, err
	}
	defer f.Close()
	if err := port.Send(q); err != nil {
		return order.Answer{}, err
	}
	var a order.Answer
	if err := port.Receive(&a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, fmt.Errorf("on the host: %s", a.Error)
	}
	return a, nil
}
