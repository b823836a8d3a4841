package ninetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// RunRaw sends a server what only a broken or hostile client sends. Its rules
// are for servers that promise to survive that: each hostile frame is either
// answered by an error or ends its own connection, and nobody else's.
func RunRaw(t *testing.T, server Server) {
	t.Helper()
	runGroups(t, server, rawGroups)
}

var rawGroups = []group{
	{"raw-frame", rawFrameRules, everyDialect},
	{"raw-fid", rawFidRules, everyDialect},
	{"raw-state", rawStateRules, everyDialect},
}

var rawFrameRules = []rule{
	{"impossible-sizes-end-the-connection", rawSizes},
	{"truncated-frame-and-silence", rawTruncated},
	{"unknown-types-are-refused", rawTypes},
	{"bodies-of-any-length", rawBodies},
	{"string-beyond-the-body", rawString},
	{"seventeen-names", rawSeventeen},
	{"write-count-beyond-the-frame", rawWriteCount},
	{"replies-as-requests", rawReplies},
	{"random-bytes", rawRandom},
	{"read-count-beyond-msize", rawReadCount},
}

// link is a bare connection that says frames as they are.
type link struct {
	s    *scope
	conn net.Conn
}

// replyTimeout is how long a link waits for an answer: longer than any server
// takes, so that it only matters for one that never answers.
const replyTimeout = 20 * time.Second

func (s *scope) bareLink() *link {
	s.tb.Helper()
	conn, err := s.server.DialNet(s.ctx)
	s.ok(err, "dial")
	s.tb.Cleanup(func() { _ = conn.Close() })
	s.ok(conn.SetDeadline(time.Now().Add(replyTimeout)), "set a deadline")
	return &link{s: s, conn: conn}
}

// link is a connection that has rootFid and dirFid.
func (s *scope) link() *link {
	s.tb.Helper()
	l := s.bareLink()
	version := s.frame(&ninep.Tversion{Msize: wireMsize, Version: s.dialect().String()})
	binary.LittleEndian.PutUint16(version[5:], ninep.NoTag)
	l.must(version)
	l.must(s.frame(s.tattach(rootFid, s.server.UID)))
	l.must(walkFrame(rootFid, dirFid, []string{s.dirName}))
	return l
}

func (l *link) send(b []byte) {
	l.s.tb.Helper()
	if _, err := l.conn.Write(b); err != nil && !hungUp(err) {
		l.s.tb.Fatalf("send: %v", err)
	}
}

// hungUp reports whether the error is that of a connection that the peer ended.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) ||
		errors.Is(err, unix.EPIPE)
}

// receive returns the next frame, nil when the server hung up.
func (l *link) receive() []byte {
	l.s.tb.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(l.conn, head); hungUp(err) {
		return nil
	} else if err != nil {
		l.s.tb.Fatalf("receive: %v", err)
	}
	size := binary.LittleEndian.Uint32(head)
	if size < ninep.HeaderSize || size > wireMsize {
		l.s.tb.Fatalf("a reply of %d bytes", size)
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(l.conn, body); err != nil {
		l.s.tb.Fatalf("receive: %v", err)
	}
	return append(head, body...)
}

// isError reports whether a frame is an error reply of any dialect.
func isError(frame []byte) bool {
	t := ninep.MsgType(frame[4])
	return t == ninep.TypeRlerror || t == ninep.TypeRerror
}

func (l *link) must(b []byte) {
	l.s.tb.Helper()
	l.send(b)
	reply := l.receive()
	if reply == nil || ninep.MsgType(reply[4]) != ninep.MsgType(b[4])+1 {
		l.s.tb.Fatalf("type %d: reply %v", b[4], reply)
	}
}

// refused wants an error reply; hanging up is as good where mayHangUp.
func (l *link) refused(b []byte, mayHangUp bool) {
	l.s.tb.Helper()
	l.send(b)
	reply := l.receive()
	if reply == nil && mayHangUp {
		return
	}
	if reply == nil || !isError(reply) || !bytes.Equal(reply[5:7], b[5:7]) {
		l.s.tb.Fatalf("frame %v: reply %v, want an error of its tag", b[:min(len(b), 32)], reply)
	}
}

// dead wants the server to hang up without an answer but errors.
func (l *link) dead() {
	l.s.tb.Helper()
	for reply := l.receive(); reply != nil; reply = l.receive() {
		if !isError(reply) {
			l.s.tb.Fatalf("answered by type %d", reply[4])
		}
	}
}

// alive holds the server to serving the others still.
func (s *scope) alive() {
	s.tb.Helper()
	s.attr(s.dir)
	s.link()
}
