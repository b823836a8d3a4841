package ninep

import (
	"errors"
	"fmt"
)

// MsgType is the number of a message.
type MsgType uint8

// Numbers of the messages. A reply's is its request's plus one, or an error's: that of Rlerror in 9P2000.L, of Rerror in the
// others.
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
	TypeTopen        MsgType = 112
	TypeRopen        MsgType = 113
	TypeTcreate      MsgType = 114
	TypeRcreate      MsgType = 115
	TypeTread        MsgType = 116
	TypeRread        MsgType = 117
	TypeTwrite       MsgType = 118
	TypeRwrite       MsgType = 119
	TypeTclunk       MsgType = 120
	TypeRclunk       MsgType = 121
	TypeTremove      MsgType = 122
	TypeRremove      MsgType = 123
	TypeTstat        MsgType = 124
	TypeRstat        MsgType = 125
	TypeTwstat       MsgType = 126
	TypeRwstat       MsgType = 127
)

// ErrUnknownType means that a message has a number that is none of the dialect's.
var ErrUnknownType = errors.New("unknown message type")

// Message is a message: a pointer to one of the structs below, whose fields stand in the order of the wire.
type Message interface {
	// Type returns the message's number.
	Type() MsgType
	// fields runs the codec over the message's fields.
	fields(c *codec)
}

// NewMessage is [Dialect.NewMessage] of 9P2000.L.
func NewMessage(t MsgType) Message { return DialectL.NewMessage(t) }

func (t MsgType) String() string {
	if name := kinds[t].name; name != "" {
		return name
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

// kind is what the codec knows of a type.
type kind struct {
	name string
	in   uint8 // the dialects that have it: 1<<Dialect
	make func() Message
}

// Sets of dialects.
const (
	onlyL     = 1 << DialectL
	classical = 1<<DialectU | 1<<DialectLegacy
	every     = onlyL | classical
)

var kinds = [256]kind{
	TypeRlerror:      {"Rlerror", onlyL, func() Message { return new(Rlerror) }},
	TypeTstatfs:      {"Tstatfs", onlyL, func() Message { return new(Tstatfs) }},
	TypeRstatfs:      {"Rstatfs", onlyL, func() Message { return new(Rstatfs) }},
	TypeTlopen:       {"Tlopen", onlyL, func() Message { return new(Tlopen) }},
	TypeRlopen:       {"Rlopen", onlyL, func() Message { return new(Rlopen) }},
	TypeTlcreate:     {"Tlcreate", onlyL, func() Message { return new(Tlcreate) }},
	TypeRlcreate:     {"Rlcreate", onlyL, func() Message { return new(Rlcreate) }},
	TypeTsymlink:     {"Tsymlink", onlyL, func() Message { return new(Tsymlink) }},
	TypeRsymlink:     {"Rsymlink", onlyL, func() Message { return new(Rsymlink) }},
	TypeTmknod:       {"Tmknod", onlyL, func() Message { return new(Tmknod) }},
	TypeRmknod:       {"Rmknod", onlyL, func() Message { return new(Rmknod) }},
	TypeTrename:      {"Trename", onlyL, func() Message { return new(Trename) }},
	TypeRrename:      {"Rrename", onlyL, func() Message { return new(Rrename) }},
	TypeTreadlink:    {"Treadlink", onlyL, func() Message { return new(Treadlink) }},
	TypeRreadlink:    {"Rreadlink", onlyL, func() Message { return new(Rreadlink) }},
	TypeTgetattr:     {"Tgetattr", onlyL, func() Message { return new(Tgetattr) }},
	TypeRgetattr:     {"Rgetattr", onlyL, func() Message { return new(Rgetattr) }},
	TypeTsetattr:     {"Tsetattr", onlyL, func() Message { return new(Tsetattr) }},
	TypeRsetattr:     {"Rsetattr", onlyL, func() Message { return new(Rsetattr) }},
	TypeTxattrwalk:   {"Txattrwalk", onlyL, func() Message { return new(Txattrwalk) }},
	TypeRxattrwalk:   {"Rxattrwalk", onlyL, func() Message { return new(Rxattrwalk) }},
	TypeTxattrcreate: {"Txattrcreate", onlyL, func() Message { return new(Txattrcreate) }},
	TypeRxattrcreate: {"Rxattrcreate", onlyL, func() Message { return new(Rxattrcreate) }},
	TypeTreaddir:     {"Treaddir", onlyL, func() Message { return new(Treaddir) }},
	TypeRreaddir:     {"Rreaddir", onlyL, func() Message { return new(Rreaddir) }},
	TypeTfsync:       {"Tfsync", onlyL, func() Message { return new(Tfsync) }},
	TypeRfsync:       {"Rfsync", onlyL, func() Message { return new(Rfsync) }},
	TypeTlock:        {"Tlock", onlyL, func() Message { return new(Tlock) }},
	TypeRlock:        {"Rlock", onlyL, func() Message { return new(Rlock) }},
	TypeTgetlock:     {"Tgetlock", onlyL, func() Message { return new(Tgetlock) }},
	TypeRgetlock:     {"Rgetlock", onlyL, func() Message { return new(Rgetlock) }},
	TypeTlink:        {"Tlink", onlyL, func() Message { return new(Tlink) }},
	TypeRlink:        {"Rlink", onlyL, func() Message { return new(Rlink) }},
	TypeTmkdir:       {"Tmkdir", onlyL, func() Message { return new(Tmkdir) }},
	TypeRmkdir:       {"Rmkdir", onlyL, func() Message { return new(Rmkdir) }},
	TypeTrenameat:    {"Trenameat", onlyL, func() Message { return new(Trenameat) }},
	TypeRrenameat:    {"Rrenameat", onlyL, func() Message { return new(Rrenameat) }},
	TypeTunlinkat:    {"Tunlinkat", onlyL, func() Message { return new(Tunlinkat) }},
	TypeRunlinkat:    {"Runlinkat", onlyL, func() Message { return new(Runlinkat) }},
	TypeTversion:     {"Tversion", every, func() Message { return new(Tversion) }},
	TypeRversion:     {"Rversion", every, func() Message { return new(Rversion) }},
	TypeTauth:        {"Tauth", every, func() Message { return new(Tauth) }},
	TypeRauth:        {"Rauth", every, func() Message { return new(Rauth) }},
	TypeTattach:      {"Tattach", every, func() Message { return new(Tattach) }},
	TypeRattach:      {"Rattach", every, func() Message { return new(Rattach) }},
	TypeRerror:       {"Rerror", every, func() Message { return new(Rerror) }},
	TypeTflush:       {"Tflush", every, func() Message { return new(Tflush) }},
	TypeRflush:       {"Rflush", every, func() Message { return new(Rflush) }},
	TypeTwalk:        {"Twalk", every, func() Message { return new(Twalk) }},
	TypeRwalk:        {"Rwalk", every, func() Message { return new(Rwalk) }},
	TypeTread:        {"Tread", every, func() Message { return new(Tread) }},
	TypeRread:        {"Rread", every, func() Message { return new(Rread) }},
	TypeTwrite:       {"Twrite", every, func() Message { return new(Twrite) }},
	TypeRwrite:       {"Rwrite", every, func() Message { return new(Rwrite) }},
	TypeTclunk:       {"Tclunk", every, func() Message { return new(Tclunk) }},
	TypeRclunk:       {"Rclunk", every, func() Message { return new(Rclunk) }},
	TypeTremove:      {"Tremove", every, func() Message { return new(Tremove) }},
	TypeRremove:      {"Rremove", every, func() Message { return new(Rremove) }},
	TypeTopen:        {"Topen", classical, func() Message { return new(Topen) }},
	TypeRopen:        {"Ropen", classical, func() Message { return new(Ropen) }},
	TypeTcreate:      {"Tcreate", classical, func() Message { return new(Tcreate) }},
	TypeRcreate:      {"Rcreate", classical, func() Message { return new(Rcreate) }},
	TypeTstat:        {"Tstat", classical, func() Message { return new(Tstat) }},
	TypeRstat:        {"Rstat", classical, func() Message { return new(Rstat) }},
	TypeTwstat:       {"Twstat", classical, func() Message { return new(Twstat) }},
	TypeRwstat:       {"Rwstat", classical, func() Message { return new(Rwstat) }},
}
