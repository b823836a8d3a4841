package lab

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listenPort finds the TCP port on which a process listens at 127.0.0.1: a
// server started on port 0 is asked for nothing and guesses nothing.
func listenPort(pid int) (int, error) {
	sockets, err := socketsOf(pid)
	if err != nil {
		return 0, err
	}
	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	defer table.Close()
	const listening = "0A" // TCP_LISTEN, include/net/tcp_states.h
	for lines := bufio.NewScanner(table); lines.Scan(); {
		field := strings.Fields(lines.Text())
		if len(field) < 10 || field[3] != listening || !sockets[field[9]] {
			continue
		}
		_, port, _ := strings.Cut(field[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		return int(n), err
	}
	return 0, fmt.Errorf("process %d does not listen yet", pid)
}

// socketsOf is the set of inode numbers of a process's sockets.
func socketsOf(pid int) (map[string]bool, error) {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, err
	}
	inodes := map[string]bool{}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}
