// Package record keeps what the driver knows about its volumes on the share
// itself, below .csi-9p, so that every controller sees the same and none has a
// state of its own. A record is outside input when it is read back: whoever
// can write to the share can write to it.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/google/uuid"
)

var (
	// ErrCorrupt means that a file of the driver on the share is not what the
	// driver would have written.
	ErrCorrupt = errors.New("corrupt volume record")
	// ErrEmpty is the ErrCorrupt of a file that is empty: on servers without
	// links, a name that was taken by a process that was killed before it
	// wrote. Store.Add and Store.Claim write it anew.
	ErrEmpty = fmt.Errorf("%w: it is empty", ErrCorrupt)
)

// Version is the format that this release writes, and the only one it reads.
const Version = 1

// MaxSize bounds a record's file in bytes.
const MaxSize = 64 << 10

// State is how far a volume has come.
type State string

// States in the order in which a volume passes them.
const (
	Creating State = "creating" // the directory may not be in its place yet
	Ready    State = "ready"
	Deleting State = "deleting" // the directory may be gone already
)

// QID identifies a volume's directory on its server.
type QID struct {
	Type uint8  `json:"type"`
	Path uint64 `json:"path,string"` // a string, because JSON numbers are doubles to most readers
}

// Of returns the lasting part of a server's qid.
func Of(q ninep.QID) QID { return QID{Type: uint8(q.Type), Path: q.Path} }

// Is reports whether the server's qid is that of the same file.
func (q QID) Is(o ninep.QID) bool { return q == Of(o) }

func (q QID) isDir() bool { return ninep.QIDType(q.Type)&ninep.QTDir != 0 }

func (q QID) String() string { return fmt.Sprintf("%02x.%s", q.Type, strconv.FormatUint(q.Path, 16)) }

// Record is one volume.
type Record struct {
	Version           int               `json:"version"`
	UUID              uuid.UUID         `json:"uuid"`
	Name              string            `json:"name"` // as CreateVolume was given it
	State             State             `json:"state"`
	CapacityBytes     int64             `json:"capacityBytes"` // 0: unlimited
	Parameters        map[string]string `json:"parameters"`    // as params.Parameters.Values makes them
	MutableParameters map[string]string `json:"mutableParameters,omitempty"`
	Source            string            `json:"source,omitempty"` // empty: the volume began empty
	Directory         []string          `json:"directory"`        // components below the aname
	QID               *QID              `json:"qid,omitempty"`    // nil before the directory was in its place
	Created           time.Time         `json:"created"`
}

// Encode returns the record's file.
func (r *Record) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	if data = append(data, '\n'); len(data) > MaxSize {
		return nil, fmt.Errorf("the record of volume %s would be %d bytes long, more than %d", r.UUID, len(data), MaxSize)
	}
	return data, nil
}

// Decode reads a record's file and checks every field. Errors wrap ErrCorrupt.
func Decode(data []byte) (*Record, error) {
	r, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return r, nil
}

func decode(data []byte) (*Record, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it is longer than %d bytes", MaxSize)
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, err
	}
	if version.Version != Version {
		return nil, fmt.Errorf("its version is %d, and this release reads %d", version.Version, Version)
	}
	r := new(Record)
	if err := strict(data, r); err != nil {
		return nil, err
	}
	return r, r.check()
}

// strict reads one JSON value without fields that v lacks, and nothing else.
func strict(data []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}

// check reports what no driver would have written.
func (r *Record) check() error {
	switch {
	case r.Name == "":
		return errors.New("its name is missing")
	case r.UUID != volume.UUID(r.Name):
		return fmt.Errorf("its uuid is not that of the name %q", r.Name)
	case !slices.Contains([]State{Creating, Ready, Deleting}, r.State):
		return fmt.Errorf("its state is %q", r.State)
	case r.CapacityBytes < 0:
		return fmt.Errorf("its capacity is %d", r.CapacityBytes)
	case r.State == Ready && r.QID == nil:
		return errors.New("it is ready without a qid")
	case r.QID != nil && !r.QID.isDir():
		return fmt.Errorf("its qid %s is no directory's", r.QID)
	}
	if err := subdir.Check(r.Directory); err != nil {
		return err
	}
	_, err := params.Parse(r.Parameters)
	return err
}

// Parsed returns the record's parameters.
func (r *Record) Parsed() (params.Parameters, error) {
	p, err := params.Parse(r.Parameters)
	if err != nil {
		return params.Parameters{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return p, nil
}

// Clone returns a copy whose fields can be changed.
func (r *Record) Clone() *Record {
	c := *r
	c.Parameters = maps.Clone(r.Parameters)
	c.MutableParameters = maps.Clone(r.MutableParameters)
	c.Directory = slices.Clone(r.Directory)
	if r.QID != nil {
		qid := *r.QID
		c.QID = &qid
	}
	return &c
}
