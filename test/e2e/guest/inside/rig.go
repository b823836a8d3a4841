package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// rig is the driver, with all of its processes in the guest.
type rig struct {
	dir     string // of sockets, logs and mounts
	share   share
	mounter *process
	others  []*process
	conns   []*grpc.ClientConn

	controller csi.ControllerClient
	node       csi.NodeClient
}

// share is where volumes are made.
type share struct {
	server     string   // URL for the node
	controller string   // URL of the same tree for the controller; the same URL of a device: it goes through the mounter
	flags      []string // of the mounter
}

// shareOf is the share that a scenario's arguments name: the server's URL, that for the controller, flags of the mounter.
func shareOf(args []string) (share, error) {
	if len(args) < 2 {
		return share{}, errors.New("the scenario wants the URL of a share, one for the controller, and flags for the mounter")
	}
	return share{server: args[0], controller: args[1], flags: args[2:]}, nil
}

// onNode reports whether the controller is the node's, without a road of its own to the share.
func (s share) onNode() bool {
	return s.controller == s.server && strings.HasPrefix(s.server, "virtio://")
}

// startDriver starts the controller, the mounter and the node service.
func startDriver(ctx context.Context, s share) (*rig, error) {
	dir, err := os.MkdirTemp("", "driver-")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, share: s}
	controller := []string{"controller", "--endpoint", r.endpoint("controller.sock")}
	node := []string{"node", "--endpoint", r.endpoint("node.sock"), "--nodeid", "guest", "--mounter", r.endpoint("mounter.sock"),
		"--kernel-mounts", r.path("kernel")}
	if s.onNode() {
		here := []string{"--sessions", r.endpoint("sessions.sock"), "--topology-share", s.server}
		controller, node = append(append(controller, "--nodeid", "guest"), here...), append(node, here...)
	}
	err = errors.Join(r.startMounter(ctx), r.start(ctx, "controller.sock", controller...), r.start(ctx, "node.sock", node...))
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	toController, err1 := r.connect("controller.sock")
	toNode, err2 := r.connect("node.sock")
	r.controller, r.node = csi.NewControllerClient(toController), csi.NewNodeClient(toNode)
	return r, errors.Join(err1, err2)
}

// withDriver starts the driver on the share that the arguments of a scenario tell of, and stops it after f.
func withDriver(ctx context.Context, args []string, f func(*rig) error) error {
	s, err := shareOf(args)
	if err != nil {
		return err
	}
	r, err := startDriver(ctx, s)
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.stop())
}

func (r *rig) path(name string) string     { return filepath.Join(r.dir, name) }
func (r *rig) endpoint(name string) string { return "unix://" + r.path(name) }

func (r *rig) startMounter(ctx context.Context) error {
	args := append([]string{"mounter", "--listen", r.endpoint("mounter.sock")}, r.share.flags...)
	if r.share.onNode() {
		args = append(args, "--sessions-listen", r.endpoint("sessions.sock"))
	}
	p, err := start(r.dir, args...)
	if err != nil {
		return err
	}
	r.mounter = p
	return p.await(ctx, r.listens("mounter.sock"))
}

func (r *rig) start(ctx context.Context, socket string, args ...string) error {
	p, err := start(r.dir, args...)
	if err != nil {
		return err
	}
	r.others = append(r.others, p)
	return p.await(ctx, r.listens(socket))
}

func (r *rig) listens(socket string) func() error {
	return func() error {
		conn, err := net.Dial("unix", r.path(socket))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

func (r *rig) connect(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(r.endpoint(socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		r.conns = append(r.conns, conn)
	}
	return conn, err
}

// stop ends the processes, the mounter last, and removes what they leave.
func (r *rig) stop() error {
	var errs []error
	for _, conn := range r.conns {
		errs = append(errs, conn.Close())
	}
	for _, p := range slices.Backward(r.others) {
		errs = append(errs, p.end())
	}
	if r.mounter != nil {
		errs = append(errs, r.mounter.end())
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}

// logs adds what the processes logged to an error, nil excepted.
func (r *rig) logs(err error) error {
	if err == nil {
		return nil
	}
	for _, p := range append(slices.Clone(r.others), r.mounter) {
		err = p.explain(err)
	}
	return err
}

// volume is one on its way through the driver.
type volume struct {
	*rig
	*csi.Volume
	name string // of its directory on the share
}

func capability() *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
	}
}

// create has the controller make a volume, with parameters besides those that say where.
func (r *rig) create(ctx context.Context, name string, parameters map[string]string) (*volume, error) {
	all := map[string]string{"server": r.share.server}
	if r.share.controller != r.share.server {
		all["controllerServer"] = r.share.controller
	}
	for key, value := range parameters {
		all[key] = value
	}
	here, err := r.topology(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := r.controller.CreateVolume(ctx, &csi.CreateVolumeRequest{
		Name: name, Parameters: all, VolumeCapabilities: []*csi.VolumeCapability{capability()},
		CapacityRange:             &csi.CapacityRange{RequiredBytes: 1 << 30},
		AccessibilityRequirements: &csi.TopologyRequirement{Requisite: here, Preferred: here},
	})
	if err != nil {
		return nil, fmt.Errorf("CreateVolume: %w", err)
	}
	if at := answer.GetVolume().GetAccessibleTopology(); !slices.EqualFunc(at, here, sameSegments) {
		return nil, fmt.Errorf("the volume is accessible from %v, the node is %v", at, here)
	}
	return &volume{rig: r, Volume: answer.GetVolume(), name: name}, nil
}

// topology is what the node says where it is, empty where all nodes are the same: a controller on the node knows the one share
// that it has.
func (r *rig) topology(ctx context.Context) ([]*csi.Topology, error) {
	info, err := r.node.NodeGetInfo(ctx, &csi.NodeGetInfoRequest{})
	if err != nil {
		return nil, fmt.Errorf("NodeGetInfo: %w", err)
	}
	here := info.GetAccessibleTopology()
	if has := len(here.GetSegments()); r.share.onNode() != (has == 1) {
		return nil, fmt.Errorf("the node has %d shares of its own: %v", has, here)
	}
	if here == nil {
		return nil, nil
	}
	return []*csi.Topology{here}, nil
}

func sameSegments(a, b *csi.Topology) bool { return maps.Equal(a.GetSegments(), b.GetSegments()) }

func (v *volume) staging() string { return v.path(v.name + "/staging") }
func (v *volume) target() string  { return v.path(v.name + "/pod/data") }

// stage mounts the volume, as for the first pod, and binds it for the pod.
func (v *volume) stage(ctx context.Context) error {
	err := patiently(ctx, func() error { return v.stageOnce(ctx) })
	if err != nil {
		return err
	}
	_, err = v.node.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
		VolumeId: v.GetVolumeId(), StagingTargetPath: v.staging(), TargetPath: v.target(),
		VolumeCapability: capability(), VolumeContext: v.GetVolumeContext(),
	})
	if err != nil {
		return fmt.Errorf("NodePublishVolume: %w", err)
	}
	return nil
}

// stageOnce asks once for the volume to be mounted.
func (v *volume) stageOnce(ctx context.Context) error {
	for _, dir := range []string{v.staging(), filepath.Dir(v.target())} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	_, err := v.node.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{
		VolumeId: v.GetVolumeId(), StagingTargetPath: v.staging(), VolumeCapability: capability(), VolumeContext: v.GetVolumeContext(),
	})
	if err != nil {
		return fmt.Errorf("NodeStageVolume: %w", err)
	}
	return nil
}

// patiently makes a call again, as the kubelet does, while what it is for is not to be had: a mounter gives a device back a
// moment after the last of its volumes is gone.
func patiently(ctx context.Context, call func() error) error {
	const patience, pause = 10 * time.Second, 500 * time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		err := call()
		if status.Code(err) != codes.Unavailable || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
}

// unstage takes back what stage did.
func (v *volume) unstage(ctx context.Context) error {
	_, err := v.node.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: v.GetVolumeId(), TargetPath: v.target()})
	if err != nil {
		return fmt.Errorf("NodeUnpublishVolume: %w", err)
	}
	_, err = v.node.NodeUnstageVolume(ctx, &csi.NodeUnstageVolumeRequest{VolumeId: v.GetVolumeId(), StagingTargetPath: v.staging()})
	if err != nil {
		return fmt.Errorf("NodeUnstageVolume: %w", err)
	}
	return nil
}

func (v *volume) remove(ctx context.Context) error {
	_, err := v.controller.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
	if err != nil {
		return fmt.Errorf("DeleteVolume: %w", err)
	}
	return nil
}
