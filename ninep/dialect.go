package ninep

import "fmt"

// Dialect is a version of the protocol. The dialects share Twalk, Tread, Twrite, Tclunk, Tremove and Tflush, and differ in how
// they name errors, describe files, and open and make them. Its methods are the codec of that dialect; the functions of the same
// names are 9P2000.L's.
type Dialect uint8

const (
	// DialectL is 9P2000.L, made after Linux's system calls: errors are numbers, attributes are stat(2)'s.
	DialectL Dialect = iota
	// DialectU is 9P2000.u, Plan 9's with what Unix needs beside it: an errno with every error, owners by number, links and
	// special files (http://ericvh.github.io/9p-rfc/rfc9p2000.u.html).
	DialectU
	// DialectLegacy is 9P2000, Plan 9's (section 5 of its manual): errors and owners are names, files are regular or
	// directories.
	DialectLegacy
)

// dialects are all of them, by preference: the earlier one can express more.
var dialects = [...]Dialect{DialectL, DialectU, DialectLegacy}

// String returns the dialect's name in Tversion.
func (d Dialect) String() string {
	switch d {
	case DialectL:
		return Version
	case DialectU:
		return "9P2000.u"
	case DialectLegacy:
		return "9P2000"
	}
	return fmt.Sprintf("dialect %d", uint8(d))
}

// ParseDialect returns the dialect of a name in Tversion, exactly as String writes it.
func ParseDialect(version string) (d Dialect, ok bool) {
	for _, d := range dialects {
		if d.String() == version {
			return d, true
		}
	}
	return DialectL, false
}

// has reports whether a message of this type exists in the dialect.
func (d Dialect) has(t MsgType) bool { return kinds[t].in&(1<<d) != 0 }

// NewMessage returns an empty message of the type, nil for a number that is none of the dialect's.
func (d Dialect) NewMessage(t MsgType) Message {
	if d.has(t) {
		return kinds[t].make()
	}
	return nil
}
