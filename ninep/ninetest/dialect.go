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
	"raw-state/xattr-fid-misused":           classic,
	"read/of-a-directory-is-refused":        classic, // it is how a directory is read
	"readdir/of-a-file-is-refused":          classic,
	"open/directory-flag-wants-a-directory": classic,
}
