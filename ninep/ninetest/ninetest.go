// Package ninetest is the conformance suite of 9P2000.L, 9P2000.u and 9P2000: rules, one subtest
// each, that any server is run through by way of package ninep's client, over
// any transport.
//
// [Run] holds a server to what well-formed requests may expect. [RunRaw] sends
// hostile ones, which some servers do not survive. A rule that a server breaks
// by its own fault is named in Server.Deviations with the reason; when the
// server starts to keep it, the suite fails until the entry is gone.
//
// The names of the rules are stable: "walk/partial-leaves-newfid-unbound".
package ninetest

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// Server is a server under test and what the suite may know of it.
type Server struct {
	// Dial makes a new connection to the server.
	Dial func(context.Context) (transport.Conn, error)
	// DialNet makes a bare one, for RunRaw.
	DialNet func(context.Context) (net.Conn, error)
	// Dialect is what the suite speaks; what it cannot say is left out.
	Dialect ninep.Dialect
	// Aname is the tree to attach; the suite works in directories that it makes there.
	Aname string
	// Root is the local path of that tree, "" when the suite cannot look at it from the server's side.
	Root string
	// UID is the user to attach as: root, or devices and owners are deviations.
	UID uint32
	// OtherUID is a user without rights on what UID owns.
	OtherUID uint32
	// ZeroCopy is how the suite's client carries payload.
	ZeroCopy ninep.ZeroCopy
	// Deviations maps the names of the rules that this server breaks by its own fault to the reason.
	Deviations map[string]string
	// Untested maps the names of the rules that are left out, because this server cannot be held
	// to them, to the reason: it does not outlive them, or they need what there is not.
	Untested map[string]string

	timeout time.Duration // of a rule
}

// ruleTimeout is how long a rule may take before its calls are cancelled. It
// only ever matters for a server that does not answer.
const ruleTimeout = 3 * time.Minute

// brokenTimeout is ruleTimeout of a rule that a server is said to break, which may be by not answering.
const brokenTimeout = 10 * time.Second

// rule is one requirement.
type rule struct {
	name  string
	check func(*scope)
}

// group is the rules of one subject, in one file, for some dialects.
type group struct {
	name  string
	rules []rule
	in    dialects
}

// Run holds a server to every rule, each a subtest "group/rule".
func Run(t *testing.T, server Server) {
	t.Helper()
	runGroups(t, server, groups)
}

var groups = []group{
	{"version", versionRules, everyDialect},
	{"attach", attachRules, everyDialect},
	{"walk", walkRules, everyDialect},
	{"open", openRules, everyDialect},
	{"create", createRules, everyDialect},
	{"read", readRules, everyDialect},
	{"write", writeRules, everyDialect},
	{"readdir", readdirRules, everyDialect},
	{"getattr", getattrRules, everyDialect},
	{"setattr", setattrRules, everyDialect},
	{"statfs", statfsRules, onlyL},
	{"fsync", fsyncRules, everyDialect},
	{"mkdir", mkdirRules, everyDialect},
	{"symlink", symlinkRules, everyDialect},
	{"link", linkRules, everyDialect},
	{"mknod", mknodRules, everyDialect},
	{"rename", renameRules, everyDialect},
	{"unlink", unlinkRules, everyDialect},
	{"lock", lockRules, onlyL},
	{"xattr", xattrRules, onlyL},
	{"flush", flushRules, everyDialect},
	{"errno", errnoRules, everyDialect},
	{"session", sessionRules, everyDialect},
	{"error", errorRules, classic},
	{"stat", statRules, classic},
	{"unix-stat", unixStatRules, onlyU},
	{"directory", directoryRules, classic},
	{"wstat", wstatRules, classic},
	{"plain-wstat", plainWstatRules, onlyLegacy},
	{"classic-open", classicOpenRules, classic},
	{"classic-create", classicCreateRules, classic},
	{"plain-create", plainCreateRules, onlyLegacy},
}

func runGroups(t *testing.T, server Server, groups []group) {
	t.Helper()
	server.timeout = ruleTimeout
	for _, names := range []map[string]string{server.Deviations, server.Untested} {
		for name := range names {
			if !known(name) {
				t.Errorf("%q, which is said to be broken or not to be tested, is no rule", name)
			}
		}
	}
	for _, group := range groups {
		if !group.in.has(server.Dialect) {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			for _, rule := range group.rules {
				name := group.name + "/" + rule.name
				if unsaid[name].has(server.Dialect) {
					continue
				}
				if reason := server.Untested[name]; reason != "" {
					t.Logf("%s is left out: %s", name, reason)
					continue
				}
				t.Run(rule.name, func(t *testing.T) {
					reason, deviates := server.Deviations[name]
					if deviates {
						expectBroken(t, server, rule, reason)
					} else {
						rule.check(newScope(t, server))
					}
				})
			}
		})
	}
}

// known reports whether a rule of that name exists in any suite.
func known(name string) bool {
	for _, group := range slices.Concat(groups, rawGroups) {
		for _, rule := range group.rules {
			if group.name+"/"+rule.name == name {
				return true
			}
		}
	}
	return false
}

// expectBroken fails when the server keeps a rule that it is said to break.
func expectBroken(t *testing.T, server Server, r rule, reason string) {
	t.Helper()
	server.timeout = brokenTimeout
	v := &verdict{TB: t}
	failures := v.judge(func() { r.check(newScope(v, server)) })
	if len(failures) == 0 {
		t.Errorf("the server keeps this rule: remove the deviation %q", reason)
	}
	for _, failure := range failures {
		t.Logf("deviation: %s: %s", reason, failure)
	}
}

// hostPath is where the server keeps a path of the scope's directory.
func (s *scope) hostPath(name string) string {
	return filepath.Join(s.server.Root, s.dirName, name)
}

// needsRoot ends a rule that compares with the server's side where that is out of sight.
func (s *scope) needsRoot() {
	if s.server.Root == "" {
		s.tb.Skip("the server's directory is not on this machine (Server.Root)")
	}
}

// sameQID fails unless both are the same file.
func (s *scope) sameQID(got, want ninep.QID, what string) {
	s.tb.Helper()
	if !got.SameFile(want) {
		s.tb.Errorf("%s: qid %v, want %v", what, got, want)
	}
}
