package params

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// shareName keeps a share's name fit for a volume id, a label and a URL.
var shareName = regexp.MustCompile(`^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$`)

// CheckShareName reports whether name can be a share's.
func CheckShareName(name string) error {
	if !shareName.MatchString(name) {
		return errors.New("must be 1 to 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends")
	}
	return nil
}

// maxAname bounds an aname, which has to fit a message and a volume's context.
const maxAname = 1024

// CheckAname reports whether aname can be a part of a server's URL, and sent to
// the server.
func CheckAname(aname string) error {
	if !strings.HasPrefix(aname, "/") || len(aname) > maxAname || strings.ContainsRune(aname, 0) {
		return fmt.Errorf("must begin with '/' and have at most %d bytes, none of them NUL", maxAname)
	}
	return nil
}

// ParseControllerServer reads the URL of a server that is the controller's road,
// which no virtio device can be: that is a node's.
func ParseControllerServer(value string) (dial.URL, error) {
	u, err := dial.Parse(value)
	if err == nil && u.Scheme == dial.Virtio {
		return dial.URL{}, errors.New("the controller can drive no device of a node; export the same tree at tcp://, tls://, unix:// or vsock:// too")
	}
	return u, err
}

func setShare(field *string, value string) error {
	if err := CheckShareName(value); err != nil {
		return err
	}
	*field = value
	return nil
}

// setServer leaves an aname in the URL, until checkRoad knows whether aname
// was given as well.
func setServer(p *Parameters, value string) error {
	u, err := dial.Parse(value)
	if err != nil {
		return err
	}
	p.Server = u.String()
	return nil
}

func setControllerServer(p *Parameters, value string) error {
	u, err := ParseControllerServer(value)
	if err != nil {
		return err
	}
	p.ControllerServer = u.String()
	return nil
}

func setTLSServerName(p *Parameters, value string) (err error) {
	p.TLSServerName, err = dial.ServerName(value)
	return err
}

func setAname(p *Parameters, value string) error {
	if err := CheckAname(value); err != nil {
		return err
	}
	p.Aname = value
	return nil
}

func setSubDir(p *Parameters, value string) error {
	if err := subdir.CheckTemplate(value); err != nil {
		return err
	}
	p.SubDir = value
	return nil
}

// checkRoad makes sure that one tree is named, and named once. given maps the
// canonical keys that were set to their spelling.
func (p *Parameters) checkRoad(given map[string]string) error {
	switch {
	case p.Share == "" && p.Server == "":
		return &Error{Key: "server", Reason: "is missing; give server (a URL such as tcp://host:564) or share (a name in the driver's configuration)"}
	case p.Share != "":
		for _, name := range []string{"server", "aname", "controllerServer", "tlsServerName"} {
			if spelt, set := given[name]; set {
				return &Error{Key: spelt, Reason: "cannot be combined with share, whose configuration says it; remove one of the two"}
			}
		}
		return nil
	}
	u, err := dial.Parse(p.Server)
	if err != nil {
		return &Error{Key: given["server"], Value: p.Server, Reason: err.Error()}
	}
	if err := p.moveAname(&u, given); err != nil {
		return err
	}
	if err := p.moveServerName(&u, given); err != nil {
		return err
	}
	if spelt, set := given["aname"]; set && u.Scheme == dial.Virtio && p.Aname != "/" {
		return &Error{Key: spelt, Value: p.Aname, Reason: "a virtio device has one tree, whatever it is asked for; leave it out, and use subDir"}
	}
	p.Server = u.String()
	return nil
}

// moveAname takes the aname out of the server's URL.
func (p *Parameters) moveAname(u *dial.URL, given map[string]string) error {
	if u.Aname == "" {
		return nil
	}
	if spelt, set := given["aname"]; set {
		return &Error{Key: spelt, Value: p.Aname, Reason: fmt.Sprintf("the server's URL has an aname too, %q; keep one", u.Aname)}
	}
	if err := CheckAname(u.Aname); err != nil {
		return &Error{Key: given["server"], Value: p.Server, Reason: "aname " + err.Error()}
	}
	p.Aname, u.Aname = u.Aname, ""
	return nil
}

// moveServerName takes the name of the certificate out of the server's URL.
func (p *Parameters) moveServerName(u *dial.URL, given map[string]string) error {
	spelt, set := given["tlsServerName"]
	switch {
	case set && u.ServerName != "":
		return &Error{Key: spelt, Value: p.TLSServerName, Reason: fmt.Sprintf("the server's URL has a serverName too, %q; keep one", u.ServerName)}
	case set && u.Scheme != dial.TLS && !strings.HasPrefix(p.ControllerServer, dial.TLS+"://"):
		return &Error{Key: spelt, Value: p.TLSServerName, Reason: "is for servers at tls://, which have a certificate; leave it out"}
	case u.ServerName != "":
		p.TLSServerName, u.ServerName = u.ServerName, ""
	}
	return nil
}
