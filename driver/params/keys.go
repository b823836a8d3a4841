package params

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// key is one parameter: its name, how a value is read and how it is written.
// An error of set completes the sentence `parameter name="value": ...`.
type key struct {
	name string
	set  func(p *Parameters, value string) error
	get  func(p *Parameters) string
}

var keys = []key{
	{"share", func(p *Parameters, v string) error { return setShare(&p.Share, v) }, func(p *Parameters) string { return p.Share }},
	{"server", setServer, func(p *Parameters) string { return p.Server }},
	{"aname", setAname, func(p *Parameters) string { return p.Aname }},
	{"controllerServer", setControllerServer, func(p *Parameters) string { return p.ControllerServer }},
	{"tlsServerName", setTLSServerName, func(p *Parameters) string { return p.TLSServerName }},
	{"subDir", setSubDir, func(p *Parameters) string { return p.SubDir }},
	word("onDelete", func(p *Parameters) *OnDelete { return &p.OnDelete }, known(Delete, Retain, Archive)),
	id("uid", func(p *Parameters) *uint32 { return &p.UID }),
	id("gid", func(p *Parameters) *uint32 { return &p.GID }),
	{"mode", setMode, func(p *Parameters) string { return fmt.Sprintf("%04o", p.Mode) }},
	word("dialect", func(p *Parameters) *Dialect { return &p.Dialect }, known(DialectL, DialectU, DialectLegacy, DialectAuto)),
	{"msize", setMsize, getMsize},
	word("zeroCopy", func(p *Parameters) *ZeroCopy { return &p.ZeroCopy }, known(ZeroCopyAuto, ZeroCopyOff, ZeroCopyRequire)),
	quantity("zeroCopyThreshold", func(p *Parameters) *int64 { return &p.ZeroCopyThreshold }, 0, mostMsize),
	quantity("maxInFlight", func(p *Parameters) *int64 { return &p.MaxInFlight }, 64<<10, 1<<40),
	quantity("readAhead", func(p *Parameters) *int64 { return &p.ReadAhead }, 0, 1<<30),
	word("cache", func(p *Parameters) *Cache { return &p.Cache }, known(CacheAuto, CacheNone, CacheCloseToOpen, CacheLoose)),
	duration("attrTimeout", func(p *Parameters) *time.Duration { return &p.AttrTimeout }, "0 keeps none"),
	word("access", func(p *Parameters) *Access { return &p.Access }, known(AccessSingle, AccessUser)),
	id("attachUid", func(p *Parameters) *uint32 { return &p.AttachUID }),
	duration("reconnectTimeout", func(p *Parameters) *time.Duration { return &p.ReconnectTimeout }, "0 waits for ever"),
	duration("writebackTimeout", func(p *Parameters) *time.Duration { return &p.WritebackTimeout }, "0 waits for ever"),
	word("engine", func(p *Parameters) *Engine { return &p.Engine }, known(EngineEmbedded, EngineKernel)),
	word("capacity", func(p *Parameters) *Capacity { return &p.Capacity }, known(CapacityNone, CapacityReport).later(CapacityEnforce)),
}

// words are the values of a parameter that names one of several ways: those
// that work, and those that a later release brings.
type words[T ~string] struct{ now, soon []T }

func known[T ~string](now ...T) words[T] { return words[T]{now: now} }

func (w words[T]) later(soon ...T) words[T] {
	w.soon = soon
	return w
}

// word makes the key of a parameter with a fixed set of values.
func word[T ~string](name string, field func(*Parameters) *T, w words[T]) key {
	var list []string
	for _, v := range w.now {
		list = append(list, string(v))
	}
	expected := strings.Join(list, ", ")
	set := func(p *Parameters, value string) error {
		for _, v := range w.now {
			if strings.EqualFold(string(v), value) {
				*field(p) = v
				return nil
			}
		}
		for _, v := range w.soon {
			if strings.EqualFold(string(v), value) {
				return fmt.Errorf("comes with a later release; this one knows %s", expected)
			}
		}
		return fmt.Errorf("must be one of %s", expected)
	}
	return key{name, set, func(p *Parameters) string { return string(*field(p)) }}
}

// id makes the key of a numeric user or group id. The highest number is left
// out: it means "no id" to chown(2) and to 9P's n_uname.
func id(name string, field func(*Parameters) *uint32) key {
	set := func(p *Parameters, value string) error {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n == 1<<32-1 {
			return errors.New("must be a numeric id from 0 to 4294967294")
		}
		*field(p) = uint32(n)
		return nil
	}
	return key{name, set, func(p *Parameters) string { return strconv.FormatUint(uint64(*field(p)), 10) }}
}

// quantity makes the key of a number of bytes in Kubernetes' notation.
func quantity(name string, field func(*Parameters) *int64, least, most int64) key {
	set := func(p *Parameters, value string) error {
		n, err := bytes(value, least, most)
		if err != nil {
			return err
		}
		*field(p) = n
		return nil
	}
	return key{name, set, func(p *Parameters) string { return strconv.FormatInt(*field(p), 10) }}
}

// bytes reads a whole number of bytes between least and most.
func bytes(value string, least, most int64) (int64, error) {
	q, err := resource.ParseQuantity(value)
	if err != nil {
		return 0, errors.New("must be a quantity of bytes such as 1048576, 512Ki or 1Mi")
	}
	n, exact := q.AsInt64()
	if !exact || n < least || n > most {
		return 0, fmt.Errorf("must be a whole number of bytes from %d to %d", least, most)
	}
	return n, nil
}

// duration makes the key of a time; zero says what 0 means.
func duration(name string, field func(*Parameters) *time.Duration, zero string) key {
	set := func(p *Parameters, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("must be a duration such as 500ms, 30s or 5m; %s", zero)
		}
		*field(p) = d
		return nil
	}
	return key{name, set, func(p *Parameters) string { return field(p).String() }}
}

func setMode(p *Parameters, value string) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(value, "0o"), 8, 32)
	if err != nil || n > 0o7777 {
		return errors.New("must be octal permission bits such as 0770, at most 07777")
	}
	p.Mode = uint32(n)
	return nil
}

// The bounds of msize: a directory entry with the longest name must fit, and
// what a server accepts beyond the upper one is of no use to FUSE.
const (
	leastMsize = 4 << 10
	mostMsize  = 256 << 20
)

func setMsize(p *Parameters, value string) error {
	if strings.EqualFold(value, "auto") {
		p.Msize = 0
		return nil
	}
	n, err := bytes(value, leastMsize, mostMsize)
	if err != nil {
		return fmt.Errorf("%w, or auto", err)
	}
	p.Msize = uint32(n)
	return nil
}

func getMsize(p *Parameters) string {
	if p.Msize == 0 {
		return "auto"
	}
	return strconv.FormatUint(uint64(p.Msize), 10)
}
