package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// allDialects are those that a server speaks unless it is told otherwise.
var allDialects = []ninep.Dialect{ninep.DialectL, ninep.DialectU, ninep.DialectLegacy}

// baseYear is the number of 9P2000, the only version without a suffix that is defined.
const baseYear = 2000

// negotiate returns the dialect to speak with a client that asks for a version: that one; or else what it names without
// its suffixes, the last first, a later 9Pnnnn standing for 9P2000 (version(5)). It returns false where none of them is spoken.
func (s *Server) negotiate(version string) (ninep.Dialect, bool) {
	for {
		if d, ok := ninep.ParseDialect(version); ok && s.speaks(d) {
			return d, true
		}
		dot := strings.LastIndexByte(version, '.')
		if dot < 0 {
			break
		}
		version = version[:dot]
	}
	digits, ok := strings.CutPrefix(version, "9P")
	year, err := strconv.ParseUint(digits, 10, 64)
	return ninep.DialectLegacy, ok && err == nil && year >= baseYear && s.speaks(ninep.DialectLegacy)
}

func (s *Server) speaks(d ninep.Dialect) bool { return slices.Contains(s.options.Dialects, d) }

// checkDialects refuses dialects that there are not.
func checkDialects(dialects []ninep.Dialect) error {
	for _, d := range dialects {
		if !slices.Contains(allDialects, d) {
			return fmt.Errorf("%w: no such dialect: %v", ErrOptions, d)
		}
	}
	return nil
}

// speak makes the connection's dialect this one.
func (c *conn) speak(d ninep.Dialect) {
	c.dialect = d
	switch d {
	case ninep.DialectU:
		c.form = unixForm{c.server}
	case ninep.DialectLegacy:
		c.form = plainForm{c.server}
	default:
		c.form = nil
	}
}

// failure is the message that answers a request which failed.
func failure(d ninep.Dialect, errno unix.Errno) ninep.Message {
	if d == ninep.DialectL {
		return &ninep.Rlerror{Errno: uint32(errno)}
	}
	return &ninep.Rerror{Ename: ninep.ErrorText(errno), Errno: uint32(errno)}
}
