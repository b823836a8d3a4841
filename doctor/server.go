package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// stepTimeout bounds what is asked of the server in one check.
const stepTimeout = 10 * time.Second

// server is a share that is looked at.
type server struct {
	machine *Machine
	options Options
	url     dial.URL
	session *ninep.Session
	root    *ninep.Fid
	checks  []Check
}

// checkServer looks at the server and its tree. Each check needs what the one before it has found.
func checkServer(ctx context.Context, m *Machine, o Options) []Check {
	s := &server{machine: m, options: o, url: *o.URL}
	defer s.close()
	for _, check := range []func(*server, context.Context) Check{
		(*server).checkName, (*server).checkConnection, (*server).checkCertificate, (*server).checkDevice, (*server).checkDialects, (*server).checkMsize,
		(*server).checkTree, (*server).checkLatency, (*server).checkOrder,
	} {
		if !s.run(ctx, check) {
			return s.checks
		}
	}
	if !o.ReadOnly {
		s.write(ctx)
	}
	return s.checks
}

// run does one check and tells whether the next one makes sense.
func (s *server) run(ctx context.Context, check func(*server, context.Context) Check) bool {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	c := check(s, ctx)
	s.checks = append(s.checks, c)
	return c.Status != Fail
}

func (s *server) close() {
	if s.session != nil {
		_ = s.session.Close() // never fails
	}
}

// open begins a session in one of the dialects.
func (s *server) open(ctx context.Context, dialects ...ninep.Dialect) (*ninep.Session, error) {
	return ninep.Open(ctx, ninep.Config{
		Dial: func(ctx context.Context) (transport.Conn, error) {
			return s.machine.Dial(ctx, s.url, dial.Options{TLS: s.options.TLS, AllowUnsafeDMA: s.options.AllowUnsafeDMA})
		},
		Dialects: dialects, ReconnectTimeout: -1,
	})
}

// checkDialects asks for each dialect, on a connection of its own, and keeps the session of the best.
func (s *server) checkDialects(ctx context.Context) Check {
	c := Check{Name: "dialects", Status: Fail}
	var spoken []string
	var refusal error
	for _, d := range []ninep.Dialect{ninep.DialectL, ninep.DialectU, ninep.DialectLegacy} {
		session, err := s.open(ctx, d)
		switch {
		case err == nil && s.session == nil:
			s.session = session
			if s.url.Scheme == dial.Virtio { // a device has one session at a time
				c.Status, c.Found = OK, d.String()
				return c
			}
		case err == nil:
			_ = session.Close()
		case refusal == nil:
			refusal = err
		}
		if err == nil {
			spoken = append(spoken, d.String())
		} else if !errors.Is(err, ninep.ErrDialect) && !errors.Is(err, ninep.ErrMsizeTooSmall) && s.session == nil {
			break // it is no 9P server, or lets nobody in
		}
	}
	switch {
	case s.session == nil:
		c.Found, c.Cure = refusal.Error(), s.sessionCure(refusal)
	case s.session.Dialect() == ninep.DialectL:
		c.Status, c.Found = OK, strings.Join(spoken, ", ")
	default:
		c.Status, c.Found = Warn, strings.Join(spoken, ", ")
		c.Cure = "mount with dialect: " + s.session.Dialect().String() + " or auto; the driver makes volumes on servers with 9P2000.L only"
	}
	return c
}

// sessionCure says what to do about a server that answers and agrees to nothing.
func (s *server) sessionCure(err error) string {
	switch {
	case errors.Is(err, ninep.ErrDialect):
		return "it speaks another version of 9P than 9P2000.L, 9P2000.u and 9P2000"
	case errors.Is(err, ninep.ErrMsizeTooSmall):
		return fmt.Sprintf("let it take messages of %d bytes at least", ninep.MinMsize)
	case s.url.Scheme == dial.Virtio:
		return "the device is there and its server does not answer: see the log of QEMU on the host"
	}
	return "is it a 9P server, does it want tls://, and does it let this machine in (csi-9p serve --allow)?"
}

// largeMsize is the payload of the largest FUSE request, in bytes.
const largeMsize = 1 << 20

// checkMsize tells how much a message carries.
func (s *server) checkMsize(context.Context) Check {
	c := Check{Name: "largest message", Status: OK, Found: fmt.Sprintf("%d bytes, %d of them payload", s.session.Features().Msize, s.session.MaxPayload())}
	if s.session.MaxPayload() < largeMsize {
		c.Status, c.Cure = Warn, fmt.Sprintf("large reads and writes take several messages: let the server take msize %d", largeMsize+ninep.IOHeaderSize)
	}
	return c
}

// checkTree attaches to the share.
func (s *server) checkTree(ctx context.Context) Check {
	o := s.attach()
	c := Check{Name: "tree", Status: OK, Found: fmt.Sprintf("%s is attached as uid %d", o.Aname, o.UID)}
	root, err := s.session.Attach(ctx, o)
	if err != nil {
		c.Status, c.Found, c.Cure = Fail, err.Error(), cureOf(driver.AttachAdvice(err))
		return c
	}
	if s.root = root; !root.QID().IsDir() {
		c.Status, c.Found, c.Cure = Fail, o.Aname+" is not a directory", "check aname"
	}
	return c
}

// cureOf makes a cure of the driver's advice about an error; where it has none, of who knows more.
func cureOf(advice string) string {
	return cmp.Or(strings.TrimPrefix(advice, "; "), "see the server's log")
}

// attach says which tree is attached, and as whom.
func (s *server) attach() ninep.AttachOptions {
	return ninep.AttachOptions{UID: s.options.AttachUID, Aname: cmp.Or(s.url.Aname, "/")}
}

// latencyRounds is of how many round trips the median is told.
const latencyRounds = 33

// checkLatency measures Tgetattr, the smallest request that a server looks at a file for.
func (s *server) checkLatency(ctx context.Context) Check {
	c := Check{Name: "round trip", Status: OK}
	var took []time.Duration
	for range latencyRounds {
		start := time.Now()
		if _, err := s.root.Getattr(ctx, ninep.AttrBasic); err != nil {
			c.Status, c.Found, c.Cure = Fail, err.Error(), "see the server's log"
			return c
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	c.Found = fmt.Sprintf("%v (median of %d, the fastest %v)", took[latencyRounds/2].Round(time.Microsecond), latencyRounds, took[0].Round(time.Microsecond))
	return c
}

// checkOrder tells whether the client may send on without waiting, which is known of servers that tell a data_version unasked.
func (s *server) checkOrder(context.Context) Check {
	c := Check{Name: "order", Status: OK, Found: "takes a file's messages in order (data_version): looking up and opening is one round trip"}
	if s.session.Features().InOrder != ninep.Supported {
		c.Status, c.Found = Warn, "not known to take messages in order (no data_version)"
		c.Cure = "each lookup and open takes a round trip of its own; csi-9p serve takes them in order"
	}
	return c
}
