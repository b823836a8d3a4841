package ninep

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// refusal returns what an error reply of the dialect says: a [unix.Errno], or an *unknownText that is EIO. cut says that the body
// ends before the message does. ok is false for one that is malformed.
func (d Dialect) refusal(t MsgType, body []byte, cut bool) (err error, ok bool) {
	if d == DialectL {
		if len(body) != 4 {
			return nil, false
		}
		return wireErrno(binary.LittleEndian.Uint32(body)), true
	}
	var m Rerror
	switch {
	case t != TypeRerror:
		return nil, false
	case cut && len(body) >= 2:
		m.Ename = string(body[2:])
	case d.DecodeBody(body, &m) != nil:
		return nil, false
	}
	number := wireErrno(m.Errno)
	if number != unix.EIO { // which servers also say of what they have no number for
		return number, true
	}
	if errno, ok := textErrno(m.Ename); ok {
		return errno, true
	}
	return &unknownText{m.Ename}, true
}

// anyRefusal is refusal where no dialect is agreed on: the forms of the body tell them apart.
func anyRefusal(t MsgType, body []byte) error {
	for _, d := range dialects {
		if err, ok := d.refusal(t, body, false); ok {
			return err
		}
	}
	return fmt.Errorf("%w: %v with a body of %d bytes", ErrMalformed, t, len(body))
}

// wireErrno is the number of an error reply. One that Linux does not have (include/linux/err.h: MAX_ERRNO) is EIO.
func wireErrno(v uint32) unix.Errno {
	if v == 0 || v > 4095 {
		return unix.EIO
	}
	return unix.Errno(v)
}

// unknownText is an error of the server's whose text stands for no number.
type unknownText struct{ text string }

func (e *unknownText) Error() string { return fmt.Sprintf("the server says %q", e.text) }

// errorRoom returns room for an error reply on this link: own if it is enough.
func (l *link) errorRoom(own []byte) []byte {
	if l.dialect == DialectL || len(own) >= ErrorRoom {
		return own
	}
	return make([]byte, ErrorRoom)
}
