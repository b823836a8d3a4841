package ninep

import (
	"errors"
	"fmt"
)

// MsgType is the number of a message.
type MsgType uint8

// Numbers of the messages of 9P2000.L. A reply's is its request's plus one, or that of Rlerror.
const (
	TypeRlerror      MsgType = 7
	TypeTstatfs      MsgType = 8
	TypeRstatfs      MsgType = 9
	TypeTlopen       MsgType = 12
	TypeRlopen       MsgType = 13
	TypeTlcreate     MsgType = 14
	TypeRlcreate     MsgType = 15
	TypeTsymlink     MsgType = 16
	TypeRsymlink     MsgType = 17
	TypeTmknod       MsgType = 18
	TypeRmknod       MsgType = 19
	TypeTrename      MsgType = 20
	TypeRrename      MsgType = 21
	TypeTreadlink    MsgType = 22
	TypeRreadlink    MsgType = 23
	TypeTgetattr     MsgType = 24
	TypeRgetattr     MsgType = 25
	TypeTsetattr     MsgType = 26
	TypeRsetattr     MsgType = 27
	TypeTxattrwalk   MsgType = 30
	TypeRxattrwalk   MsgType = 31
	TypeTxattrcreate MsgType = 32
	TypeRxattrcreate MsgType = 33
	TypeTreaddir     MsgType = 40
	TypeRreaddir     MsgType = 41
	TypeTfsync       MsgType = 50
	TypeRfsync       MsgType = 51
	TypeTlock        MsgType = 52
	TypeRlock        MsgType = 53
	TypeTgetlock     MsgType = 54
	TypeRgetlock     MsgType = 55
	TypeTlink        MsgType = 70
	TypeRlink        MsgType = 71
	TypeTmkdir       MsgType = 72
	TypeRmkdir       MsgType = 73
	TypeTrenameat    MsgType = 74
	TypeRrenameat    MsgType = 75
	TypeTunlinkat    MsgType = 76
	TypeRunlinkat    MsgType = 77
	TypeTversion     MsgType = 100
	TypeRversion     MsgType = 101
	TypeTauth        MsgType = 102
	TypeRauth        MsgType = 103
	TypeTattach      MsgType = 104
	TypeRattach      MsgType = 105
	TypeRerror       MsgType = 107
	TypeTflush       MsgType = 108
	TypeRflush       MsgType = 109
	TypeTwalk        MsgType = 110
	TypeRwalk        MsgType = 111
	TypeTread        MsgType = 116
	TypeRread        MsgType = 117
	TypeTwrite       MsgType = 118
	TypeRwrite       MsgType = 119
	TypeTclunk       MsgType = 120
	TypeRclunk       MsgType = 121
	TypeTremove      MsgType = 122
	TypeRremove      MsgType = 123
)

// ErrUnknownType means that a message has a number that is none of 9P2000.L's.
var ErrUnknownType = errors.New("unknown message type")

// Message is a message of 9P2000.L: a pointer to one of the structs below, whose fields stand in the order of the wire.
type Message interface {
	// Type returns the message's number.
	Type() MsgType
	// fields runs the codec over the message's fields.
	fields(c *codec)
}

// NewMessage returns an empty message of the type, nil for a number that is none of 9P2000.L's.
func NewMessage(t MsgType) Message {
	if k, ok := kinds[t]; ok {
		return k.make()
	}
	return nil
}

func (t MsgType) String() string {
	if k, ok := kinds[t]; ok {
		return k.name
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

type kind struct {
	name string
	make func() Message
}

var kinds = map[MsgType]kind{
	TypeRlerror:      {"Rlerror", func() Message { return new(Rlerror) }},
	TypeTstatfs:      {"Tstatfs", func() Message { return new(Tstatfs) }},
	TypeRstatfs:      {"Rstatfs", func() Message { return new(Rstatfs) }},
	TypeTlopen:       {"Tlopen", func() Message { return new(Tlopen) }},
	TypeRlopen:       {"Rlopen", func() Message { return new(Rlopen) }},
	TypeTlcreate:     {"Tlcreate", func() Message { return new(Tlcreate) }},
	TypeRlcreate:     {"Rlcreate", func() Message { return new(Rlcreate) }},
	TypeTsymlink:     {"Tsymlink", func() Message { return new(Tsymlink) }},
	TypeRsymlink:     {"Rsymlink", func() Message { return new(Rsymlink) }},
	TypeTmknod:       {"Tmknod", func() Message { return new(Tmknod) }},
	TypeRmknod:       {"Rmknod", func() Message { return new(Rmknod) }},
	TypeTrename:      {"Trename", func() Message { return new(Trename) }},
	TypeRrename:      {"Rrename", func() Message { return new(Rrename) }},
	TypeTreadlink:    {"Treadlink", func() Message { return new(Treadlink) }},
	TypeRreadlink:    {"Rreadlink", func() Message { return new(Rreadlink) }},
	TypeTgetattr:     {"Tgetattr", func() Message { return new(Tgetattr) }},
	TypeRgetattr:     {"Rgetattr", func() Message { return new(Rgetattr) }},
	TypeTsetattr:     {"Tsetattr", func() Message { return new(Tsetattr) }},
	TypeRsetattr:     {"Rsetattr", func() Message { return new(Rsetattr) }},
	TypeTxattrwalk:   {"Txattrwalk", func() Message { return new(Txattrwalk) }},
	TypeRxattrwalk:   {"Rxattrwalk", func() Message { return new(Rxattrwalk) }},
	TypeTxattrcreate: {"Txattrcreate", func() Message { return new(Txattrcreate) }},
	TypeRxattrcreate: {"Rxattrcreate", func() Message { return new(Rxattrcreate) }},
	TypeTreaddir:     {"Treaddir", func() Message { return new(Treaddir) }},
	TypeRreaddir:     {"Rreaddir", func() Message { return new(Rreaddir) }},
	TypeTfsync:       {"Tfsync", func() Message { return new(Tfsync) }},
	TypeRfsync:       {"Rfsync", func() Message { return new(Rfsync) }},
	TypeTlock:        {"Tlock", func() Message { return new(Tlock) }},
	TypeRlock:        {"Rlock", func() Message { return new(Rlock) }},
	TypeTgetlock:     {"Tgetlock", func() Message { return new(Tgetlock) }},
	TypeRgetlock:     {"Rgetlock", func() Message { return new(Rgetlock) }},
	TypeTlink:        {"Tlink", func() Message { return new(Tlink) }},
	TypeRlink:        {"Rlink", func() Message { return new(Rlink) }},
	TypeTmkdir:       {"Tmkdir", func() Message { return new(Tmkdir) }},
	TypeRmkdir:       {"Rmkdir", func() Message { return new(Rmkdir) }},
	TypeTrenameat:    {"Trenameat", func() Message { return new(Trenameat) }},
	TypeRrenameat:    {"Rrenameat", func() Message { return new(Rrenameat) }},
	TypeTunlinkat:    {"Tunlinkat", func() Message { return new(Tunlinkat) }},
	TypeRunlinkat:    {"Runlinkat", func() Message { return new(Runlinkat) }},
	TypeTversion:     {"Tversion", func() Message { return new(Tversion) }},
	TypeRversion:     {"Rversion", func() Message { return new(Rversion) }},
	TypeTauth:        {"Tauth", func() Message { return new(Tauth) }},
	TypeRauth:        {"Rauth", func() Message { return new(Rauth) }},
	TypeTattach:      {"Tattach", func() Message { return new(Tattach) }},
	TypeRattach:      {"Rattach", func() Message { return new(Rattach) }},
	TypeRerror:       {"Rerror", func() Message { return new(Rerror) }},
	TypeTflush:       {"Tflush", func() Message { return new(Tflush) }},
	TypeRflush:       {"Rflush", func() Message { return new(Rflush) }},
	TypeTwalk:        {"Twalk", func() Message { return new(Twalk) }},
	TypeRwalk:        {"Rwalk", func() Message { return new(Rwalk) }},
	TypeTread:        {"Tread", func() Message { return new(Tread) }},
	TypeRread:        {"Rread", func() Message { return new(Rread) }},
	TypeTwrite:       {"Twrite", func() Message { return new(Twrite) }},
	TypeRwrite:       {"Rwrite", func() Message { return new(Rwrite) }},
	TypeTclunk:       {"Tclunk", func() Message { return new(Tclunk) }},
	TypeRclunk:       {"Rclunk", func() Message { return new(Rclunk) }},
	TypeTremove:      {"Tremove", func() Message { return new(Tremove) }},
	TypeRremove:      {"Rremove", func() Message { return new(Rremove) }},
}
