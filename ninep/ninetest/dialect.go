package ninetest

import "github.com/csi-9p/csi-9p/ninep"

// dialects is a set of them.
type dialects uint8

func speakers(all ...ninep.Dialect) (set dialects) {
	for _, d := range all {
		set |= 1 << d
	}
	return set
}

func (set dialects) has(d ninep.Dialect) bool { return set&(1<<d) != 0 }

var (
	everyDialect = speakers(ninep.DialectL, ninep.DialectU, ninep.DialectLegacy)
	onlyL        = speakers(ninep.DialectL)
	onlyU        = speakers(ninep.DialectU)
	onlyLegacy   = speakers(ninep.DialectLegacy)
	classic      = speakers(ninep.DialectU, ninep.DialectLegacy)
)

// unsaid is the rules about what a dialect has no words for, beside whole groups.
var unsaid = map[string]dialects{
	"walk/symlink-is-not-followed": onlyLegacy,

	"open/directory-flag-wants-a-directory": classic,
	"open/symlink-is-not-followed":          onlyLegacy,

	"create/new-file-has-mode-and-group": onlyLegacy,
	"create/exclusive-refuses-a-symlink": onlyLegacy,
	"create/symlink-is-not-followed":     onlyLegacy,

	"read/of-a-directory-is-refused": classic, // it is how a directory is read
	"readdir/of-a-file-is-refused":   classic,
	"readdir/types-and-qids":         onlyLegacy,

	"getattr/agrees-with-the-servers-stat":     classic, // neither blocks nor ctime, and whole seconds
	"getattr/size-and-blocks":                  classic,
	"getattr/links-of-a-directory":             onlyLegacy,
	"getattr/of-a-symlink-itself":              onlyLegacy,
	"getattr/after-unlink-through-an-open-fid": onlyLegacy,

	"setattr/mode":                           onlyLegacy, // no setuid, setgid and sticky bits
	"setattr/owner-and-group":                onlyLegacy,
	"setattr/size-of-a-directory-is-refused": classic, // 0 is what it is
	"setattr/times-given":                    onlyLegacy,
	"setattr/times-now":                      onlyLegacy,
	"setattr/all-at-once":                    onlyLegacy,
	"setattr/of-a-symlink-itself":            onlyLegacy,

	"mkdir/mode-owner-and-group":       onlyLegacy,
	"mkdir/existing-name-is-refused":   onlyLegacy,
	"symlink/target-of-any-bytes":      onlyLegacy,
	"symlink/existing-name-is-refused": onlyLegacy,
	"link/is-the-same-file":            onlyLegacy,
	"link/survives-the-first-name":     onlyLegacy,
	"link/refusals":                    onlyLegacy,
	"mknod/every-type":                 onlyLegacy,
	"mknod/existing-name-is-refused":   onlyLegacy,
	"mknod/devices-need-root":          onlyLegacy,

	"rename/between-directories":           classic, // a file keeps its directory
	"rename/refusals":                      classic,
	"rename/of-an-open-file":               classic,
	"rename/fids-below-a-directory-follow": classic,
	"rename/replaces-an-existing-file":     onlyLegacy,
	"rename/replaces-an-empty-directory":   onlyLegacy,
	"rename/over-an-open-file":             onlyLegacy,
	"rename/to-its-own-name-or-link":       onlyLegacy,

	"unlink/symlink-itself":                onlyLegacy,
	"session/two-see-each-others-changes":  classic,
	"raw-state/xattr-fid-misused":          classic,
	"raw-state/fifo-does-not-block-others": onlyLegacy,
}

// moment is a time as the dialect can tell it.
func (s *scope) moment(sec, nsec uint64) ninep.Timespec {
	if s.dialect() != ninep.DialectL {
		nsec = 0
	}
	return ninep.Timespec{Sec: sec, Nsec: nsec}
}

// madeFor is the group of a file that was made for this one: in Plan 9's dialects the maker's, who cannot ask for another.
func (s *scope) madeFor(gid uint32) uint32 {
	if s.dialect() != ninep.DialectL {
		return s.server.UID
	}
	return gid
}
