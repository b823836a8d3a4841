package server

import (
	"os/user"
	"strconv"
	"sync"
	"time"
)

// names are those of the host's users and groups, which Plan 9's dialects use in place of numbers. One that the host does
// not know is its number in decimal. What was looked up is remembered for a while. The zero value is ready.
type names struct {
	users, groups nameCache
}

func (n *names) user(uid uint32) string {
	return n.users.get(uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (n *names) group(gid uint32) string {
	return n.groups.get(gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// userID is the number of a user by name or number.
func (*names) userID(name string) (uint32, error) {
	if u, err := user.Lookup(name); err == nil {
		return parseID(u.Uid)
	}
	return parseID(name)
}

// groupID is the number of a group by name or number.
func (*names) groupID(name string) (uint32, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return parseID(g.Gid)
	}
	return parseID(name)
}

const (
	nameTime = time.Minute // how long a name is believed
	maxNames = 4096        // remembered
)

// nameCache remembers names by number.
type nameCache struct {
	mu    sync.Mutex
	known map[uint32]string
	until time.Time
}

func (c *nameCache) get(id uint32, lookup func(string) (string, error)) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.After(c.until) || len(c.known) >= maxNames {
		c.known, c.until = make(map[uint32]string), now.Add(nameTime)
	}
	name, ok := c.known[id]
	if !ok {
		number := strconv.FormatUint(uint64(id), 10)
		var err error
		if name, err = lookup(number); err != nil {
			name = number
		}
		c.known[id] = name
	}
	return name
}
