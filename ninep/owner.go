package ninep

import (
	"os/user"
	"strconv"
	"sync"
)

// nobody is the owner whose name says nothing here (Linux's overflowuid).
const nobody = 65534

// maxOwners bounds what is remembered of names, which a server makes up.
const maxOwners = 1024

// owners translates between the names of users and groups, which 9P2000 has, and numbers: decimal ones as they are, and others
// by this machine's user database. The zero value is ready.
type owners struct {
	mu    sync.Mutex
	known map[ownerName]uint32
}

type ownerName struct {
	name  string
	group bool
}

// number is the number of a name, nobody's for one that is not known here.
func (o *owners) number(name string, group bool) uint32 {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n)
	}
	key := ownerName{name, group}
	o.mu.Lock()
	defer o.mu.Unlock()
	n, ok := o.known[key]
	if !ok {
		n = lookupOwner(key)
		if len(o.known) >= maxOwners || o.known == nil {
			o.known = map[ownerName]uint32{}
		}
		o.known[key] = n
	}
	return n
}

func lookupOwner(k ownerName) uint32 {
	id := ""
	if k.group {
		if g, err := user.LookupGroup(k.name); err == nil {
			id = g.Gid
		}
	} else if u, err := user.Lookup(k.name); err == nil {
		id = u.Uid
	}
	if n, err := strconv.ParseUint(id, 10, 32); err == nil {
		return uint32(n)
	}
	if k.name == "root" {
		return 0
	}
	return nobody
}

// name is the name of a user or group, or its number in decimal.
func (o *owners) name(id uint32, group bool) string {
	number := strconv.FormatUint(uint64(id), 10)
	if group {
		if g, err := user.LookupGroupId(number); err == nil {
			return g.Name
		}
	} else if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	if id == 0 {
		return "root"
	}
	return number
}
