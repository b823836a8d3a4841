package metrics

import (
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/prometheus/client_golang/prometheus"
)

// The metrics of the exporter.
var (
	exporterConnections = define(gauge, "exporter_connections",
		"Connections of clients that are open.")
	exporterAccepted = define(counter, "exporter_accepted_connections_total",
		"Connections that were let in.")
	exporterRefused = define(counter, "exporter_refused_connections_total",
		"Connections that were not let in, by reason: the peer's address is not allowed, or there were as many connections as may be (limit), the TLS handshake failed.", "reason")
	exporterRequests = define(histogram, "exporter_request_duration_seconds",
		"Time from a request's arrival to its reply's being ready to be sent.", "type")
	exporterErrors = define(counter, "exporter_request_errors_total",
		"Requests that were answered with an error. Some are ordinary, such as walks to what does not exist.", "type")
	exporterInFlight = define(gauge, "exporter_requests_in_flight",
		"Requests without a reply.")
	exporterPayload = define(counter, "exporter_payload_bytes_total",
		"Bytes of the data of Twrite (received) and of Rread and Rreaddir (sent).", "direction")
	exporterDescriptors = define(gauge, "exporter_open_descriptors",
		"File descriptors that clients' fids hold.")
)

var exporterDefinitions = []*definition{
	exporterConnections, exporterAccepted, exporterRefused, exporterRequests, exporterErrors, exporterInFlight,
	exporterPayload, exporterDescriptors,
}

// Exporter collects the metrics of an exporter.
func Exporter(s *server.Server) prometheus.Collector {
	return &collector{exporterDefinitions, func(to sink) {
		stats := s.Stats()
		value(to, exporterConnections, stats.Connections)
		value(to, exporterAccepted, stats.Accepted)
		value(to, exporterRefused, stats.Refused.Address, "address")
		value(to, exporterRefused, stats.Refused.Limit, "limit")
		value(to, exporterRefused, stats.Refused.Handshake, "handshake")
		for _, r := range stats.Requests {
			durations(to, exporterRequests, r.Latency, typeLabel(r.Type))
			value(to, exporterErrors, r.Errors, typeLabel(r.Type))
		}
		value(to, exporterInFlight, stats.InFlight)
		value(to, exporterPayload, stats.Received, "received")
		value(to, exporterPayload, stats.Sent, "sent")
		value(to, exporterDescriptors, stats.Descriptors)
	}}
}
