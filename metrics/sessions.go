package metrics

import (
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/prometheus/client_golang/prometheus"
)

// The metrics of the sessions with servers. Label server is the server's URL
// without an aname.
var (
	sessions = define(gauge, "sessions",
		"Sessions with a server, by whether they have a connection (connected) or wait for one (lost).", "server", "state")
	sessionReconnects = define(counter, "session_reconnects_total",
		"How often a lost connection was replaced by a new one.", "server")
	sessionCalls = define(histogram, "session_call_duration_seconds",
		"Time from a 9P call's submission to its reply, the wait for its turn included.", "server", "type")
	sessionCallErrors = define(counter, "session_call_errors_total",
		"9P calls that the server answered with an error. Some are ordinary, such as walks to what does not exist.", "server", "type")
	sessionCallsUnanswered = define(counter, "session_calls_unanswered_total",
		"9P calls that ended without an answer: the connection was lost, or the call was flushed.", "server", "type")
	sessionPayload = define(counter, "session_payload_bytes_total",
		"Bytes of the data of Tread, Treaddir and Twrite, by direction and by whether this process copied them on their way.", "server", "direction", "path")
	sessionCallsInFlight = define(gauge, "session_calls_in_flight",
		"9P calls that were submitted and are not answered.", "server")
	sessionBytesInFlight = define(gauge, "session_in_flight_bytes",
		"Bytes of payload, as asked for or sent, of the 9P calls in flight.", "server")
	sessionParked = define(gauge, "session_parked_messages",
		"Reads and writes that wait for a lost server.", "server")
	sessionFids = define(gauge, "session_fids",
		"Fids in use on the server.", "server")
	sessionClients = define(gauge, "session_clients",
		"Trees that programs of this machine have attached through the mounter's --sessions-listen.", "server")
	sessionSpoiled = define(counter, "session_spoiled_fids_total",
		"Fids that a reconnect could not bind again, because their file is gone or another one: who has it open gets ESTALE.", "server")
	sessionArena = define(gauge, "session_arena_bytes",
		"Bytes of payload memory in use.", "server")
	sessionArenaLimit = define(gauge, "session_arena_limit_bytes",
		"Bytes of payload memory that may be in use; requests wait beyond it.", "server")
)

var sessionDefinitions = []*definition{
	sessions, sessionReconnects, sessionCalls, sessionCallErrors, sessionCallsUnanswered, sessionPayload,
	sessionCallsInFlight, sessionBytesInFlight, sessionParked, sessionFids, sessionClients, sessionSpoiled, sessionArena, sessionArenaLimit,
}

// Sessions collects the metrics of sessions from snapshots, of which there is
// one a server.
func Sessions(snapshot func() []driver.ServerStats) prometheus.Collector {
	return &collector{sessionDefinitions, func(to sink) {
		for _, s := range snapshot() {
			collectServer(to, s)
		}
	}}
}

func collectServer(to sink, s driver.ServerStats) {
	value(to, sessions, s.Connected, s.Server, "connected")
	value(to, sessions, s.Lost, s.Server, "lost")
	value(to, sessionReconnects, s.Reconnects, s.Server)
	for _, c := range s.Calls {
		durations(to, sessionCalls, c.Latency, s.Server, typeLabel(c.Type))
		value(to, sessionCallErrors, c.Errors, s.Server, typeLabel(c.Type))
		value(to, sessionCallsUnanswered, c.Unanswered, s.Server, typeLabel(c.Type))
	}
	for direction, traffic := range map[string]ninep.Traffic{"sent": s.Sent, "received": s.Received} {
		value(to, sessionPayload, traffic.Placed, s.Server, direction, "placed")
		value(to, sessionPayload, traffic.Copied, s.Server, direction, "copied")
	}
	value(to, sessionCallsInFlight, s.InFlight.Calls, s.Server)
	value(to, sessionBytesInFlight, s.InFlight.Bytes, s.Server)
	value(to, sessionParked, s.Parked, s.Server)
	value(to, sessionFids, s.Fids, s.Server)
	value(to, sessionClients, s.Clients, s.Server)
	value(to, sessionSpoiled, s.Spoiled, s.Server)
	if s.ArenaLimit > 0 {
		value(to, sessionArena, s.ArenaUsed, s.Server)
		value(to, sessionArenaLimit, s.ArenaLimit, s.Server)
	}
}
