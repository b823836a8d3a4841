package mounter

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"

	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
)

// version is the protocol's number. A field that is added changes it, because
// objects are read strictly.
const version = 2

const (
	maxRequest  = 2 << 20 // a Kubernetes Secret has up to 1 MiB
	maxResponse = 16 << 20
)

// request is what a caller sends.
type request struct {
	Version int    `json:"version"`
	Call    string `json:"call"`
	Volume  string `json:"volume,omitempty"`
	Spec    *Spec  `json:"spec,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"`
	// Secret is renew's.
	Secret *mtls.PEM `json:"secret,omitempty"`
	// Millis is how long the caller waits, so that the answer can say what it
	// waited for in vain; 0: no limit of its own.
	Millis int64 `json:"millis,omitempty"`
}

// response is what it gets.
type response struct {
	Error   *wireError `json:"error,omitempty"`
	Volumes []Status   `json:"volumes,omitempty"`
	Usage   *Usage     `json:"usage,omitempty"`
}

// send writes one message; file, unless nil, goes along.
func send(conn *net.UnixConn, message any, file *os.File) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if err := sendHead(conn, head, file); err != nil {
		return err
	}
	_, err = conn.Write(body)
	return err
}

// sendHead writes the length. A file's descriptor is borrowed through
// SyscallConn: Fd would make the open file blocking, and a file handed over is
// the same open file on the other side.
func sendHead(conn *net.UnixConn, head []byte, file *os.File) error {
	if file == nil {
		_, err := conn.Write(head)
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) {
		var n int
		n, _, sendErr = conn.WriteMsgUnix(head, unix.UnixRights(int(fd)), nil)
		if sendErr == nil && n < len(head) {
			_, sendErr = conn.Write(head[n:])
		}
	})
	return errors.Join(err, sendErr)
}

// receive reads one message of at most limit bytes into message, and the file
// that came along, nil for none. The file is the caller's.
func receive(conn *net.UnixConn, limit int, message any) (file *os.File, err error) {
	var head [4]byte
	n, file, err := receiveHead(conn, head[:])
	defer func() {
		if err != nil && file != nil {
			err = errors.Join(err, file.Close())
			file = nil
		}
	}()
	if err != nil {
		return file, err
	}
	if _, err := io.ReadFull(conn, head[n:]); err != nil {
		return file, err
	}
	length := int64(binary.BigEndian.Uint32(head[:]))
	if length > int64(limit) {
		return file, protocolError("a message of %d bytes is longer than %d", length, limit)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(conn, body); err != nil {
		return file, err
	}
	return file, decode(body, message)
}

// receiveHead reads the first bytes of a message and the descriptor beside
// them. It keeps one descriptor at most: a peer that sends more is hostile.
func receiveHead(conn *net.UnixConn, head []byte) (int, *os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(head, oob)
	fds, rightsErr := rights(oob[:oobn])
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err == nil && (rightsErr != nil || len(fds) > 1 || flags&unix.MSG_CTRUNC != 0) {
		err = protocolError("more than one descriptor in a message")
	}
	if err != nil {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return n, nil, err
	}
	if len(fds) == 0 {
		return n, nil, nil
	}
	return n, os.NewFile(uintptr(fds[0]), "/dev/fuse"), nil
}

// rights returns the descriptors in a control message (unix(7), SCM_RIGHTS).
func rights(oob []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if m.Header.Type != unix.SCM_RIGHTS {
			continue
		}
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fds, err
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// decode reads one JSON object and nothing else.
func decode(body []byte, message any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(message); err != nil {
		return protocolError("%w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return protocolError("bytes after the object")
	}
	return nil
}
