package driver

import "github.com/csi-9p/csi-9p/ninep"

// ServerStats are a process's sessions with one server, taken together: there
// are several where volumes differ in what a session can have only once.
type ServerStats struct {
	Server     string // its URL, without an aname and without secrets
	Connected  int    // sessions that have their server
	Lost       int    // sessions that are without
	Reconnects uint64
	ninep.Stats

	Clients int // of a gateway, by the trees that they have attached

	ArenaUsed  int64 // bytes of payload memory in use; 0 where sessions have none of their own
	ArenaLimit int64
}

// Add adds a session that is open.
func (all *ServerStats) Add(s *ninep.Session) {
	status := s.Status()
	if status.Connected {
		all.Connected++
	} else {
		all.Lost++
	}
	all.Reconnects += status.Reconnects
	all.Stats.Add(s.Stats())
}

// AddClosed adds what a session has counted that is about to be closed.
func (all *ServerStats) AddClosed(s *ninep.Session) {
	counted := s.Stats()
	counted.InFlight, counted.Parked, counted.Fids = ninep.Load{}, 0, 0
	all.Stats.Add(counted)
	all.Reconnects += s.Status().Reconnects
}

// Clone returns a copy that shares nothing.
func (all *ServerStats) Clone() ServerStats {
	c := *all
	c.Stats = ninep.Stats{}
	c.Stats.Add(all.Stats)
	return c
}
