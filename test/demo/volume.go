package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

const (
	fileSize   = 64 << 20 // bytes written through the volume
	volumeSize = 1 << 30  // bytes claimed
)

func capability() *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
	}
}

func (c *cluster) createVolume(ctx context.Context) (string, error) {
	answer, err := c.controller.CreateVolume(ctx, &csi.CreateVolumeRequest{
		Name:               "pvc-demo",
		CapacityRange:      &csi.CapacityRange{RequiredBytes: volumeSize},
		VolumeCapabilities: []*csi.VolumeCapability{capability()},
		Parameters:         map[string]string{"server": c.endpoint("9p.sock")},
	})
	if err != nil {
		return "", err
	}
	c.volume = answer.GetVolume()
	return c.volume.GetVolumeId(), nil
}

func (c *cluster) stage(ctx context.Context) (string, error) {
	if err := os.MkdirAll(c.staging(), 0o750); err != nil {
		return "", err
	}
	_, err := c.node.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{
		VolumeId:          c.volume.GetVolumeId(),
		StagingTargetPath: c.staging(),
		VolumeCapability:  capability(),
		VolumeContext:     c.volume.GetVolumeContext(),
	})
	return "", err
}

func (c *cluster) publishWritable(ctx context.Context) (string, error) {
	return c.publish(ctx, c.writable(), false)
}

func (c *cluster) publishReadOnly(ctx context.Context) (string, error) {
	return c.publish(ctx, c.readOnly(), true)
}

func (c *cluster) publish(ctx context.Context, target string, readOnly bool) (string, error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil { // the kubelet makes the parent
		return "", err
	}
	_, err := c.node.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
		VolumeId:          c.volume.GetVolumeId(),
		StagingTargetPath: c.staging(),
		TargetPath:        target,
		VolumeCapability:  capability(),
		VolumeContext:     c.volume.GetVolumeContext(),
		Readonly:          readOnly,
	})
	return "", err
}

func (c *cluster) write(context.Context) (string, error) {
	f, err := os.Create(filepath.Join(c.writable(), "data"))
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(f, hash), io.LimitReader(rand.Reader, fileSize), make([]byte, 1<<20))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	c.sum = hex.EncodeToString(hash.Sum(nil))
	return "sha256 " + c.sum[:16], nil
}

func (c *cluster) read(context.Context) (string, error) {
	f, err := os.Open(filepath.Join(c.readOnly(), "data"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.CopyBuffer(hash, struct{ io.Reader }{f}, make([]byte, 1<<20))
	if err != nil {
		return "", err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if n != fileSize || sum != c.sum {
		return "", fmt.Errorf("%d bytes with sha256 %s came back", n, sum)
	}
	return "sha256 " + sum[:16], nil
}

func (c *cluster) refuseWrite(context.Context) (string, error) {
	f, err := os.Create(filepath.Join(c.readOnly(), "refused"))
	if err == nil {
		return "", errors.Join(errors.New("a file was made through the read-only target"), f.Close())
	}
	if !errors.Is(err, syscall.EROFS) {
		return "", err
	}
	return "refuses writes", nil
}

func (c *cluster) df(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "df", "-h", "--output=fstype,size,used,avail,pcent", c.writable()).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return strings.Join(strings.Fields(lines[len(lines)-1]), " "), nil
}

// errOutdated means that the volume's use does not have what was written yet.
var errOutdated = errors.New("the volume's use is out of date")

// stats asks until the use, which is counted in the background, has what was
// written: seconds at most for a tree of one file.
func (c *cluster) stats(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		told, err := c.askStats(ctx)
		if !errors.Is(err, errOutdated) {
			return told, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return "", err
		}
	}
}

func (c *cluster) askStats(ctx context.Context) (string, error) {
	answer, err := c.node.NodeGetVolumeStats(ctx, &csi.NodeGetVolumeStatsRequest{
		VolumeId: c.volume.GetVolumeId(), VolumePath: c.writable(), StagingTargetPath: c.staging(),
	})
	if err != nil {
		return "", err
	}
	var told []string
	for _, u := range answer.GetUsage() {
		told = append(told, fmt.Sprintf("%s: total %d used %d available %d",
			strings.ToLower(u.GetUnit().String()), u.GetTotal(), u.GetUsed(), u.GetAvailable()))
		if u.GetUnit() == csi.VolumeUsage_BYTES && u.GetTotal() != volumeSize {
			return "", fmt.Errorf("the volume claims to have %d bytes, it was made with %d", u.GetTotal(), int64(volumeSize))
		}
		if u.GetUnit() == csi.VolumeUsage_BYTES && u.GetUsed() < fileSize {
			return "", fmt.Errorf("%w: %d bytes are said to be used, %d were written", errOutdated, u.GetUsed(), int64(fileSize))
		}
	}
	if len(told) == 0 {
		return "", errors.New("no figures")
	}
	return strings.Join(told, "; "), nil
}

func (c *cluster) unpublish(ctx context.Context) (string, error) {
	for _, target := range []string{c.writable(), c.readOnly()} {
		_, err := c.node.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: c.volume.GetVolumeId(), TargetPath: target})
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

func (c *cluster) unstage(ctx context.Context) (string, error) {
	_, err := c.node.NodeUnstageVolume(ctx, &csi.NodeUnstageVolumeRequest{VolumeId: c.volume.GetVolumeId(), StagingTargetPath: c.staging()})
	return "", err
}

func (c *cluster) deleteVolume(ctx context.Context) (string, error) {
	_, err := c.controller.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: c.volume.GetVolumeId()})
	return "", err
}
