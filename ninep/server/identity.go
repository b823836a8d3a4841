package server

import (
	"fmt"
	"math"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// identity is whom the server acts as for an attach.
type identity struct {
	creds    *credentials
	uid, gid uint32
	groups   []uint32 // supplementary
	switched bool     // calls run with this user's credentials; else with the process's own
}

// credentials decide whom the server acts as.
type credentials struct {
	squash *identity // for everybody; nil: the user of the attach
	root   bool      // the process is root and acts as others
	own    processCreds
}

// newCredentials reads the process's own credentials and checks that it can act as it is told.
func newCredentials(squash *Squash) (*credentials, error) {
	c := &credentials{root: unix.Geteuid() == 0}
	uid, gid := uint32(unix.Geteuid()), uint32(unix.Getegid())
	if !c.root {
		if squash != nil && (squash.UID != uid || squash.GID != gid) {
			return nil, fmt.Errorf("%w: only root can act as %d:%d, and this is user %d:%d; run as root or leave the squash out",
				ErrOptions, squash.UID, squash.GID, uid, gid)
		}
		c.squash = &identity{creds: c, uid: uid, gid: gid}
		return c, nil
	}
	if err := c.own.load(); err != nil {
		return nil, err
	}
	if squash != nil {
		if squash.UID == math.MaxUint32 || squash.GID == math.MaxUint32 {
			return nil, fmt.Errorf("%w: %d is no id", ErrOptions, uint32(math.MaxUint32))
		}
		c.squash = c.actAs(squash.UID, squash.GID, nil)
		return c, c.squash.probe()
	}
	return c, c.actAs(probeID, probeID, nil).probe()
}

// probeID is a user to try whether the process can act as others: Linux's overflow id, nobody on most systems.
const probeID = 65534

// probe reports whether the process can act as the user.
func (id *identity) probe() error {
	if err := id.enter(); err != nil {
		return fmt.Errorf("%w: this process is root but cannot act as %d:%d (%w): it needs CAP_SETUID and CAP_SETGID, or a squash to 0:0",
			ErrOptions, id.uid, id.gid, err)
	}
	id.leave()
	return nil
}

func (c *credentials) actAs(uid, gid uint32, groups []uint32) *identity {
	return &identity{creds: c, uid: uid, gid: gid, groups: groups, switched: uid != 0 || gid != c.own.gid}
}

// identify returns whom to act as for an attach with this n_uname and uname. The name counts only without a number, and may be
// one in decimal.
func (c *credentials) identify(uid uint32, uname string) (*identity, error) {
	if c.squash != nil {
		return c.squash, nil
	}
	if uid == ninep.NoUID {
		u, err := user.Lookup(uname)
		if err == nil {
			return c.known(u)
		}
		if uid, err = unknownUser(uname); err != nil {
			return nil, err
		}
	}
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		return c.known(u)
	}
	return c.actAs(uid, uid, nil), nil
}

// unknownUser is the number behind a name that the host's user database has not: one in decimal, or root's, which an image made
// from scratch has no database to tell and which Linux's client attaches by.
func unknownUser(uname string) (uint32, error) {
	if uname == "root" {
		return 0, nil
	}
	return parseID(uname)
}

// known makes an identity of what the host's user database tells.
func (c *credentials) known(u *user.User) (*identity, error) {
	uid, err := parseID(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := parseID(u.Gid)
	if err != nil {
		return nil, err
	}
	if uid == 0 {
		return c.actAs(0, c.own.gid, nil), nil
	}
	names, err := u.GroupIds()
	if err != nil {
		return nil, unix.EPERM
	}
	groups := make([]uint32, 0, len(names))
	for _, name := range names {
		g, err := parseID(name)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return c.actAs(uid, gid, groups), nil
}

func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || id == math.MaxUint32 {
		return 0, unix.EPERM
	}
	return uint32(id), nil
}

// do runs call with the user's credentials.
func (id *identity) do(call func() error) error {
	if err := id.enter(); err != nil {
		return err
	}
	defer id.leave()
	return call()
}

// create runs a call that makes the entry of that name in the directory, with the group that the client wants for it if
// the user may use that. In a setgid directory the kernel takes the directory's in any case.
func (id *identity) create(dir int, name string, gid uint32, call func() error) error {
	if gid == ninep.NoUID || gid == id.gid {
		return id.do(call)
	}
	if id.creds.root {
		as := *id
		if id.uid == 0 || slices.Contains(id.groups, gid) {
			as.gid, as.switched = gid, true
		}
		return as.do(call)
	}
	if err := call(); err != nil {
		return err
	}
	giveGroup(dir, name, gid)
	return nil
}

// giveGroup gives a new file to another group of the process, which is not root and cannot make it there. The kernel
// refuses what is not permitted, and then the file stays as it is.
func giveGroup(dir int, name string, gid uint32) {
	st, err := stat(dir)
	if err == nil && st.Mode&unix.S_ISGID == 0 {
		_ = unix.Fchownat(dir, name, -1, int(gid), unix.AT_SYMLINK_NOFOLLOW)
	}
}
