package metrics

import (
	"strings"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/prometheus/client_golang/prometheus"
)

// The metrics of the volumes that a mounter serves. Label volume is the volume's
// id; a volume's samples go with it.
var (
	volumes = define(gauge, "volumes",
		"Volumes that the mounter holds, by state: prepared to be mounted, serving a mount, draining because something still holds their mount.", "state")
	volumeInfo = define(gauge, "volume_info",
		"Always 1. Tells a volume's share, if it has one by name, its server, how it is mounted, and by which loop requests come once it is: device or io_uring.",
		"volume", "share", "server", "access", "cache", "loop")
	volumeConnected = define(gauge, "volume_connected",
		"1 if the volume's session has its server, 0 if the server is lost.", "volume")
	volumeRequests = define(counter, "volume_requests_total",
		"FUSE requests of the kernel, by opcode.", "volume", "opcode")
	volumeRequestErrors = define(counter, "volume_request_errors_total",
		"FUSE requests that were answered with an error. Some are ordinary, such as lookups of what does not exist.", "volume", "opcode")
	volumeRequestsInFlight = define(gauge, "volume_requests_in_flight",
		"FUSE requests without an answer. One that waits for a file lock is among them.", "volume")
	volumeBytes = define(counter, "volume_bytes_total",
		"Bytes that the kernel read from the volume and wrote to it. What it had cached is not counted.", "volume", "direction")
	volumePayload = define(counter, "volume_payload_bytes_total",
		"Bytes of the data of Tread, Treaddir and Twrite, by direction, by whether this process copied them on their way, and why.",
		"volume", "direction", "path", "reason")
	volumeCapacity = define(gauge, "volume_capacity_bytes",
		"Size of the volume's claim.", "volume")
	volumeUsed = define(gauge, "volume_used_bytes",
		"Bytes that the volume's files take, as last counted.", "volume")
	volumeInodes = define(gauge, "volume_used_inodes",
		"Files of every kind on the volume, as last counted.", "volume")
	volumeCounted = define(gauge, "volume_usage_timestamp_seconds",
		"When the volume's use was last counted, in seconds since 1970.", "volume")
)

var volumeDefinitions = []*definition{
	volumes, volumeInfo, volumeConnected, volumeRequests, volumeRequestErrors, volumeRequestsInFlight, volumeBytes,
	volumePayload, volumeCapacity, volumeUsed, volumeInodes, volumeCounted,
}

// Volumes collects the metrics of a mounter's volumes.
func Volumes(vs *mounter.Volumes) prometheus.Collector {
	return &collector{volumeDefinitions, func(to sink) {
		states := map[mounter.State]int{mounter.Prepared: 0, mounter.Serving: 0, mounter.Draining: vs.Draining()}
		for _, v := range vs.VolumeStats() {
			states[v.State]++
			collectVolume(to, v)
		}
		for state, n := range states {
			value(to, volumes, n, string(state))
		}
	}}
}

func collectVolume(to sink, v mounter.VolumeStats) {
	id, p := v.Spec.VolumeID, v.Spec.Context.Parameters
	value(to, volumeInfo, 1, id, p.Share, v.Session, string(p.Access), string(v.Spec.Cache()), loopLabel(v))
	connected := 0
	if v.Connected {
		connected = 1
	}
	value(to, volumeConnected, connected, id)
	for _, r := range v.Requests.Requests {
		value(to, volumeRequests, r.Count, id, opcodeLabel(r.Opcode))
		value(to, volumeRequestErrors, r.Errors, id, opcodeLabel(r.Opcode))
	}
	value(to, volumeRequestsInFlight, v.Requests.InFlight, id)
	value(to, volumeBytes, v.Requests.Read, id, "read")
	value(to, volumeBytes, v.Requests.Written, id, "written")
	collectPayload(to, v.Sent, id, "sent")
	collectPayload(to, v.Received, id, "received")
	if capacity := v.Spec.Context.CapacityBytes; capacity > 0 {
		value(to, volumeCapacity, capacity, id)
	}
	if !v.Usage.Time.IsZero() {
		value(to, volumeUsed, v.Usage.Bytes, id)
		value(to, volumeInodes, v.Usage.Inodes, id)
		value(to, volumeCounted, float64(v.Usage.Time.UnixMilli())/1000, id)
	}
}

func collectPayload(to sink, p ninep.Paths, id, direction string) {
	value(to, volumePayload, p.Placed, id, direction, "placed", "")
	value(to, volumePayload, p.Spliced, id, direction, "spliced", "")
	value(to, volumePayload, p.Off, id, direction, "copied", "off")
	value(to, volumePayload, p.Small, id, direction, "copied", "small")
	value(to, volumePayload, p.Transport, id, direction, "copied", "transport")
}

// loopLabel is how the kernel's requests for a volume come.
func loopLabel(v mounter.VolumeStats) string {
	switch {
	case v.State != mounter.Serving:
		return ""
	case v.Requests.IOURing:
		return "io_uring"
	}
	return "device"
}

// opcodeLabel is an opcode's name as a label: GETATTR is getattr.
func opcodeLabel(op fuse.Opcode) string {
	if op == 0 {
		return other
	}
	return strings.ToLower(op.String())
}
