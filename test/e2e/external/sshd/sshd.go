// Package sshd lets the suite's [Disruptive] specs do to a node of the lab what they do to one of a cloud by ssh: run a
// command, and stop and start its kubelet with systemctl, which a node of the lab does not have.
package sshd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Node is what a server reaches.
type Node interface {
	// Run runs a command on the node, among its processes and mounts. It returns an *exec.ExitError if that fails.
	Run(ctx context.Context, stdout, stderr io.Writer, argv ...string) error
	StartKubelet() error
	StopKubelet() error
	KubeletRunning() bool
}

// Key lets its holder in.
type Key struct {
	PEM    []byte // the private key in OpenSSH's format
	public ssh.PublicKey
}

// NewKey makes a key.
func NewKey() (*Key, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	authorized, err := ssh.NewPublicKey(public)
	return &Key{PEM: pem.EncodeToMemory(block), public: authorized}, err
}

// Serve serves the node to holders of the key until the context ends. It closes the listener, and returns when every
// command has ended.
func Serve(ctx context.Context, l net.Listener, key *Key, node Node) error {
	config, err := serverConfig(key)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			cancel()
			return err
		}
		connections.Go(func() {
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			serveConn(ctx, conn, config, node)
		})
	}
}

func serverConfig(key *Key) (*ssh.ServerConfig, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	host, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, public ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(public.Marshal(), key.public.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(host)
	return config, nil
}

func serveConn(ctx context.Context, conn net.Conn, config *ssh.ServerConfig, node Node) {
	defer conn.Close()
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer server.Close()
	sessions.Go(func() { ssh.DiscardRequests(requests) })
	for offer := range channels {
		if offer.ChannelType() != "session" {
			if offer.Reject(ssh.UnknownChannelType, "this server runs commands and nothing else") != nil {
				return
			}
			continue
		}
		channel, requests, err := offer.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() { serveSession(ctx, channel, requests, node) })
	}
}

// serveSession runs the one command of a session (RFC 4254, section 6.5) and says how it ended.
func serveSession(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request, node Node) {
	defer channel.Close()
	for request := range requests {
		var command struct{ Line string }
		if request.Type != "exec" || ssh.Unmarshal(request.Payload, &command) != nil {
			if request.Reply(false, nil) != nil {
				return
			}
			continue
		}
		if request.Reply(true, nil) != nil {
			return
		}
		status := run(ctx, command.Line, channel, channel.Stderr(), node)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status})) // a client that left does not care
		return
	}
}

// run runs a line of the shell and returns its exit status. What the suite asks of systemd it asks in these words
// (k8s.io/kubernetes/test/e2e/storage/utils, KubeletCommand).
func run(ctx context.Context, line string, stdout, stderr io.Writer, node Node) uint32 {
	var err error
	switch line {
	case "sudo --version":
		fmt.Fprintln(stderr, "sudo: command not found")
		return 127
	case "systemctl start kubelet":
		err = node.StartKubelet()
	case "systemctl stop kubelet":
		err = node.StopKubelet()
	case "systemctl show kubelet --property ActiveState --value":
		state := map[bool]string{true: "active", false: "inactive"}
		fmt.Fprintln(stdout, state[node.KubeletRunning()])
	default:
		err = node.Run(ctx, stdout, stderr, "/bin/sh", "-c", line)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return uint32(exit.ExitCode())
	}
	fmt.Fprintln(stderr, err)
	return 255
}
