// Package volume names volumes: the id that is enough to delete one, the UUID
// that makes creating one idempotent, and the context that tells a node what
// to mount.
package volume

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/google/uuid"
)

var (
	// ErrNotOurs means that a string is no volume id that this driver made: a
	// hand-written volume's handle, or junk.
	ErrNotOurs = errors.New("not a volume that this driver made")
	// ErrTooLong means that a volume id would exceed MaxID.
	ErrTooLong = errors.New("volume id too long")
)

// MaxID is CSI's limit of a string field, in bytes (CSI spec, "Size Limits").
const MaxID = 128

// namespace is the driver's own, of UUID version 5 (RFC 9562, section 5.5).
var namespace = uuid.MustParse("a6906960-7de3-4afc-8256-541407c2d8e6")

// UUID derives a volume's UUID from the name that CreateVolume was given, so
// that every controller and every retry means the same volume.
func UUID(name string) uuid.UUID { return uuid.NewSHA1(namespace, []byte(name)) }

// ID is a volume id taken apart. Its forms are
//
//	share/NAME/UUID        a volume on a share of the driver's configuration
//	URL#UUID               a volume on the server and aname of URL
//
// either followed by @UID where the controller attaches as another user than
// root. URL is the controller's road to the server.
type ID struct {
	Share     string // or
	URL       string // canonical, with the aname
	UUID      uuid.UUID
	AttachUID uint32
}

const sharePrefix = "share/"

// String is what ParseID reads.
func (id ID) String() string {
	var b strings.Builder
	if id.Share != "" {
		b.WriteString(sharePrefix + id.Share + "/")
	} else {
		b.WriteString(id.URL + "#")
	}
	b.WriteString(id.UUID.String())
	if id.AttachUID != 0 {
		b.WriteString("@" + strconv.FormatUint(uint64(id.AttachUID), 10))
	}
	return b.String()
}

// Check reports whether the id fits CSI's limit.
func (id ID) Check() error {
	if s := id.String(); len(s) > MaxID {
		return fmt.Errorf("%w: %s is %d bytes long, more than %d; name the server in the driver's configuration and use the parameter share",
			ErrTooLong, s, len(s), MaxID)
	}
	return nil
}

// ParseID takes a volume id apart. It accepts exactly what String makes; every
// other string is ErrNotOurs.
func ParseID(s string) (ID, error) {
	id, ok := parse(s)
	if !ok || id.String() != s || len(s) > MaxID {
		return ID{}, fmt.Errorf("%w: %q", ErrNotOurs, s)
	}
	return id, nil
}

func parse(s string) (id ID, ok bool) {
	road, tail, ok := cutRoad(s)
	if !ok {
		return ID{}, false
	}
	text, uid, attached := strings.Cut(tail, "@")
	if attached {
		n, err := strconv.ParseUint(uid, 10, 32)
		if err != nil || n == 0 {
			return ID{}, false
		}
		id.AttachUID = uint32(n)
	}
	var err error
	if id.UUID, err = uuid.Parse(text); err != nil {
		return ID{}, false
	}
	if name, shared := strings.CutPrefix(road, sharePrefix); shared {
		id.Share = name
		return id, params.CheckShareName(name) == nil
	}
	u, err := dial.Parse(road)
	if err != nil {
		return ID{}, false
	}
	id.URL = u.String()
	return id, true
}

// cutRoad separates the share or the server from what follows it.
func cutRoad(s string) (road, tail string, ok bool) {
	separator := "#"
	if strings.HasPrefix(s, sharePrefix) {
		separator = "/"
	}
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}
