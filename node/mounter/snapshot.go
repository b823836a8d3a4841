package mounter

import (
	"maps"
	"slices"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/usage"
)

// VolumeStats are one volume's.
type VolumeStats struct {
	Status
	Session  string     // its server's URL, as in driver.ServerStats
	Requests fuse.Stats // zero before the volume is served
	// Sent and Received are the payload of its 9P messages.
	Sent, Received ninep.Paths
	// Usage is the latest count of a volume with capacity: report; its Time is
	// zero before the first.
	Usage usage.Count
}

// VolumeStats returns the statistics of all volumes, but for those that drain.
// It asks no server.
func (vs *Volumes) VolumeStats() []VolumeStats {
	vs.mu.Lock()
	current := slices.Collect(maps.Values(vs.current))
	vs.mu.Unlock()
	stats := make([]VolumeStats, len(current))
	for i, v := range current {
		stats[i] = VolumeStats{Status: v.Status(), Session: v.session.key.server}
		stats[i].Sent, stats[i].Received = v.meter.Paths()
		if now := v.served.Load(); now != nil {
			stats[i].Requests = now.conn.Stats()
			if now.scanner != nil {
				stats[i].Usage = now.scanner.Latest()
			}
		}
	}
	return stats
}

// Draining is how many volumes were released or replaced while something still
// held their mounts.
func (vs *Volumes) Draining() int {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return len(vs.draining)
}

// ServerStats returns the statistics of the sessions. It asks no server.
func (vs *Volumes) ServerStats() []driver.ServerStats { return vs.sessions.stats() }

// stats adds up the sessions of each server.
func (s *sessions) stats() []driver.ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	byServer := make(map[string]*driver.ServerStats)
	for key, session := range s.open {
		if !session.opened() {
			continue
		}
		all := byServer[key.server]
		if all == nil {
			all = &driver.ServerStats{Server: key.server}
			if closed := s.closed[key.server]; closed != nil {
				*all = closed.Clone()
			}
			byServer[key.server] = all
		}
		all.Add(session.Session)
		used, limit := session.arena.Usage()
		all.Clients += int(session.clients.Load())
		all.ArenaUsed += used
		all.ArenaLimit += limit
	}
	result := make([]driver.ServerStats, 0, len(byServer))
	for _, all := range byServer {
		result = append(result, *all)
	}
	return result
}

// bury keeps what a session has counted that goes while others with its server
// stay, so that their sums never fall. s.mu is held, and the session is not in
// s.open any more.
func (s *sessions) bury(gone *session) {
	server := gone.key.server
	for key := range s.open {
		if key.server != server {
			continue
		}
		if s.closed == nil {
			s.closed = make(map[string]*driver.ServerStats)
		}
		if s.closed[server] == nil {
			s.closed[server] = &driver.ServerStats{Server: server}
		}
		s.closed[server].AddClosed(gone.Session)
		return
	}
	delete(s.closed, server)
}

// opened reports whether the session has been opened, with success.
func (s *session) opened() bool {
	select {
	case <-s.ready:
		return s.err == nil
	default:
		return false
	}
}
