package pci

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxTag is how long a mount tag may be, in bytes. QEMU takes 32.
const maxTag = 1024

// configSpace is a function's config space. Reads and writes of 1, 2 and 4 bytes
// reach the device as such.
type configSpace interface {
	io.ReaderAt
	io.WriterAt
}

// readConfig returns the conventional part of a config space, as much as can be read.
func readConfig(c configSpace) ([]byte, error) {
	p := make([]byte, configSize)
	n, err := c.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return p[:n], nil
}

// updateCommand sets and clears bits of the command register.
func updateCommand(c configSpace, set, clear uint16) error {
	var p [2]byte
	if _, err := c.ReadAt(p[:], commandOffset); err != nil {
		return err
	}
	old := binary.LittleEndian.Uint16(p[:])
	binary.LittleEndian.PutUint16(p[:], old&^clear|set)
	_, err := c.WriteAt(p[:], commandOffset)
	return err
}

// readTag reads the mount tag from the device's own configuration through the
// configuration access capability (virtio 1.2, 4.1.4.9). That takes nothing but
// config space, so it works whatever driver the function is bound to, asleep or
// awake, and disturbs none.
func readTag(c configSpace, l layout) (string, error) {
	if l.window == 0 {
		return "", errors.New("the device has no configuration access capability")
	}
	var length [2]byte
	if err := readWindow(c, l, 0, length[:]); err != nil {
		return "", err
	}
	n := int(binary.LittleEndian.Uint16(length[:]))
	if n == 0 || n > maxTag || uint64(n)+2 > l.device.length {
		return "", fmt.Errorf("a mount tag of %d bytes does not fit the device's configuration of %d", n, l.device.length)
	}
	tag := make([]byte, n)
	for i := range tag {
		if err := readWindow(c, l, uint64(2+i), tag[i:i+1]); err != nil {
			return "", err
		}
	}
	return string(tag), nil
}

// readWindow reads 1, 2 or 4 bytes of the device's configuration.
func readWindow(c configSpace, l layout, offset uint64, p []byte) error {
	var where [8]byte
	binary.LittleEndian.PutUint32(where[0:], uint32(l.device.offset+offset))
	binary.LittleEndian.PutUint32(where[4:], uint32(len(p)))
	at := int64(l.window)
	if _, err := c.WriteAt([]byte{byte(l.device.bar)}, at+4); err != nil {
		return err
	}
	if _, err := c.WriteAt(where[:4], at+8); err != nil {
		return err
	}
	if _, err := c.WriteAt(where[4:], at+12); err != nil {
		return err
	}
	_, err := c.ReadAt(p, at+16)
	return err
}
