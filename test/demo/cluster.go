package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
)

// cluster is a share, the driver's processes and one volume on its way through them.
type cluster struct {
	dir    string // everything that the demo makes lies beneath it
	binary string

	processes []*process
	conns     []*grpc.ClientConn

	controller csi.ControllerClient
	node       csi.NodeClient

	volume *csi.Volume
	sum    string // of what was written through the first target
}

func (c *cluster) path(name string) string     { return filepath.Join(c.dir, name) }
func (c *cluster) endpoint(name string) string { return "unix://" + c.path(name) }
func (c *cluster) exportDir() string           { return c.path("export") }
func (c *cluster) staging() string             { return c.path("kubelet/staging") }
func (c *cluster) writable() string            { return c.path("kubelet/pod-a/data") }
func (c *cluster) readOnly() string            { return c.path("kubelet/pod-b/data") }

func (c *cluster) steps() []demoStep {
	return []demoStep{
		{"exporter", c.startExporter},
		{"controller", c.startController},
		{"mounter", c.startMounter},
		{"node service", c.startNode},
		{"CreateVolume", c.createVolume},
		{"NodeStageVolume", c.stage},
		{"NodePublishVolume rw", c.publishWritable},
		{"NodePublishVolume ro", c.publishReadOnly},
		{"write 64 MiB", c.write},
		{"read 64 MiB", c.read},
		{"read-only target", c.refuseWrite},
		{"NodeGetVolumeStats", c.stats},
		{"df", c.df},
		{"NodeUnpublishVolume x2", c.unpublish},
		{"NodeUnstageVolume", c.unstage},
		{"DeleteVolume", c.deleteVolume},
		{"stop the processes", c.stop},
		{"nothing is left", c.nothingLeft},
	}
}

// cleanUp ends whatever a failed step left behind, and removes the demo's directory.
func (c *cluster) cleanUp() error {
	_, stopErr := c.stop(context.Background())
	return errors.Join(stopErr, detachAll(c.dir), os.RemoveAll(c.dir))
}

// showLogs prints the end of every process's log.
func (c *cluster) showLogs() {
	for _, p := range c.processes {
		fmt.Fprintf(os.Stderr, "--- %s\n%s", p.name, p.logTail())
	}
}
