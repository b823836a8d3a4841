package volume

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// Keys that the controller adds to a volume's parameters in its context. They
// are the driver's own and not meant to be written by hand.
const (
	contextPrefix = "csi-9p.dev/"
	keyQID        = contextPrefix + "qid"      // qid.path of the directory, hexadecimal
	keyCapacity   = contextPrefix + "capacity" // bytes, decimal
)

// Context is what a node needs to mount a volume.
type Context struct {
	Parameters params.Parameters
	// Directory is the volume's place below the aname, checked by
	// subdir.Check. It is empty where a static volume is the whole tree.
	Directory []string
	// Provisioned is set for a volume that the controller made. A static
	// volume, written by hand, knows neither QIDPath nor CapacityBytes.
	Provisioned bool
	// QIDPath identifies the directory, so that another one in its place is
	// noticed.
	QIDPath uint64
	// CapacityBytes is the size at creation; 0: unlimited or not known. An
	// expanded volume's size comes with NodeExpandVolume.
	CapacityBytes int64
	// Ephemeral is set for a volume written inline in a pod.
	Ephemeral bool
}

// Values returns the context as a CSI volume_context. Parameters that concern
// the controller alone are left out.
func (c Context) Values() map[string]string {
	p := c.Parameters
	d := params.Defaults()
	p.ControllerServer, p.OnDelete = "", d.OnDelete
	if !strings.HasPrefix(p.Server, dial.TLS+"://") {
		p.TLSServerName = ""
	}
	p.UID, p.GID, p.Mode = d.UID, d.GID, d.Mode
	p.SubDir = subdir.Join(c.Directory)
	values := p.Values()
	values[keyQID] = strconv.FormatUint(c.QIDPath, 16)
	values[keyCapacity] = strconv.FormatInt(c.CapacityBytes, 10)
	return values
}

// ParseContext reads a CSI volume_context, which is what Values made or a
// static volume's volumeAttributes, and the mount options that go with it.
// flags are the options meant for mount(2).
func ParseContext(values map[string]string, options []string) (c Context, flags []string, err error) {
	own := make(map[string]string)
	given := make(map[string]string, len(values))
	for key, value := range values {
		if strings.HasPrefix(key, contextPrefix) {
			own[key] = value
		} else {
			given[key] = value
		}
	}
	merged, flags, err := params.Merge(given, options)
	if err != nil {
		return Context{}, nil, err
	}
	if c.Parameters, err = params.Parse(merged); err != nil {
		return Context{}, nil, err
	}
	c.Ephemeral = params.Ephemeral(values)
	if err := c.parseOwn(own); err != nil {
		return Context{}, nil, err
	}
	return c, flags, c.parseDirectory()
}

// parseOwn reads the keys that the controller added.
func (c *Context) parseOwn(own map[string]string) error {
	for key, value := range own {
		var err error
		switch key {
		case keyQID:
			c.QIDPath, err = strconv.ParseUint(value, 16, 64)
			c.Provisioned = true
		case keyCapacity:
			c.CapacityBytes, err = strconv.ParseInt(value, 10, 64)
		default:
			return &params.Error{Key: key, Reason: "is not known; keys below " + contextPrefix + " are the driver's own"}
		}
		if err != nil || c.CapacityBytes < 0 {
			return &params.Error{Key: key, Value: value, Reason: "is not what the controller wrote; do not edit it"}
		}
	}
	return nil
}

// parseDirectory takes subDir literally. A static volume without one is the
// whole tree.
func (c *Context) parseDirectory() error {
	path := c.Parameters.SubDir
	if !c.Provisioned && path == params.DefaultSubDir {
		return nil
	}
	if subdir.IsTemplate(path) {
		return &params.Error{Key: "subDir", Value: path, Reason: "templates are for StorageClasses; write the directory's path"}
	}
	var err error
	if c.Directory, err = subdir.Split(path); err != nil {
		return fmt.Errorf("%w: subDir: %w", params.ErrInvalid, err)
	}
	return nil
}
