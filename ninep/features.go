package ninep

import "sync/atomic"

// Support is what a session has learned of an optional ability of its server.
type Support uint32

// Values of a [Support].
const (
	Unknown Support = iota // it was not called for yet
	Supported
	Unsupported
)

// Features is what a session has learned of its server since it was last connected. Nothing is asked for the sake of
// asking: the first call of a kind tells.
type Features struct {
	Msize    uint32  // largest message in bytes
	Unlinkat Support // else Unlink is Twalk and Tremove
	Renameat Support // else Rename is Twalk and Trename
	Xattr    Support
	Lock     Support
	Statfs   Support
	// InOrder is that a message finds a fid, and its file, as those about the fid that were sent before it leave it: Twalk,
	// Tlcreate, Tsetattr, Tgetattr and Tlopen of one need not wait for each other's replies, which may come in any order. No
	// message tells, and to try would be the end of some servers. Ours, of which it is known, is recognised by the data_version
	// of an Rgetattr that did not ask for it, which no other known server gives.
	InOrder Support
	MaxFids uint32 // number of fids from which on the server refused one; 0: no limit met
}

// Features tells what was learned of the server.
func (s *Session) Features() Features {
	f := &s.features
	return Features{
		Msize:    f.msize.Load(),
		Unlinkat: f.unlinkat.load(),
		Renameat: f.renameat.load(),
		Xattr:    f.xattr.load(),
		Lock:     f.lock.load(),
		Statfs:   f.statfs.load(),
		InOrder:  f.inOrder.load(),
		MaxFids:  f.maxFids.Load(),
	}
}

// features is the live form of [Features].
type features struct {
	msize    atomic.Uint32
	unlinkat ability
	renameat ability
	xattr    ability
	lock     ability
	statfs   ability
	inOrder  ability
	// stopsShort: a walk that fails after its first name brings what there is instead of the error.
	stopsShort ability
	maxFids    atomic.Uint32
	fidLimit   atomic.Uint32 // fids from this number on are never tried; 0: none met
}

// reset forgets all: the server behind a new connection may be another version. What the dialect has no message for is not there.
func (f *features) reset(l *link) {
	f.msize.Store(l.msize)
	for message, a := range map[MsgType]*ability{
		TypeTunlinkat: &f.unlinkat, TypeTrenameat: &f.renameat, TypeTxattrwalk: &f.xattr, TypeTlock: &f.lock, TypeTstatfs: &f.statfs,
	} {
		support := Unknown
		if !l.dialect.has(message) {
			support = Unsupported
		}
		a.v.Store(uint32(support))
	}
	f.stopsShort.v.Store(uint32(Unknown))
	f.inOrder.v.Store(uint32(Unknown))
	f.maxFids.Store(0)
	f.fidLimit.Store(0)
}

// ability is a [Support] that many calls learn at once.
type ability struct{ v atomic.Uint32 }

func (a *ability) load() Support { return Support(a.v.Load()) }

// learn takes the outcome of a message that needs the ability. Servers say EOPNOTSUPP (diod, as Linux's client
// expects) or ENOSYS of what they do not know.
func (a *ability) learn(err error) {
	switch {
	case err == nil:
		a.v.Store(uint32(Supported))
	case isUnsupported(err):
		a.v.CompareAndSwap(uint32(Unknown), uint32(Unsupported))
	}
}
