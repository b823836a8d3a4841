package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/csi-9p/csi-9p/transport"
)

const tread, rread, rerror, rlerror = 116, 117, 107, 7

// written lays a message of this type over memory that was posted for a Tread of
// count bytes whose reply has room for room bytes, as a device does.
func written(count, room int, kind byte, body []byte) (c *transport.Call, n int, head, tail []byte) {
	message := binary.LittleEndian.AppendUint32(nil, uint32(transport.HeadSize+len(body)))
	message = append(message, kind, 5, 0)
	message = append(message, body...)
	c = &transport.Call{Tag: 5, Head: []byte{23, 0, 0, 0, tread, 5, 0}, In: make([]byte, count), Reply: make([]byte, 0, room)}
	head, tail = make([]byte, transport.PayloadHeadSize), make([]byte, c.Tail())
	left := message
	for _, part := range [][]byte{head, c.In, tail} {
		left = left[copy(part, left):]
	}
	return c, len(message) - len(left), head, tail
}

// TestGatherErrors: an error's text is put together from wherever it was written,
// and nothing of it is left where data goes.
func TestGatherErrors(t *testing.T) {
	const room = 7 + 2 + 256 + 4
	for _, count := range []int{1, 3, 4, 100, room - transport.PayloadHeadSize, 300, 4096} {
		for _, length := range []int{4, 5, 30, room - transport.HeadSize} {
			body := bytes.Repeat([]byte("e"), length)
			c, n, head, tail := written(count, room, rerror, body)
			if err := c.Gather(n, head, tail); err != nil {
				t.Fatalf("%d bytes of error in a payload of %d: %v", length, count, err)
			}
			if c.N != 0 || len(c.Reply) != transport.HeadSize+length || !bytes.Equal(c.Reply[transport.HeadSize:], body) {
				t.Errorf("%d bytes of error in a payload of %d: %d bytes of payload, reply %q", length, count, c.N, c.Reply)
			}
			if !bytes.Equal(c.In, make([]byte, count)) {
				t.Errorf("%d bytes of error are in the payload of %d: %q", length, count, c.In)
			}
		}
	}
}

func TestGatherPayload(t *testing.T) {
	for _, count := range []int{1, 100, 4096} {
		c, n, head, tail := written(4096, 32, rread, append(binary.LittleEndian.AppendUint32(nil, uint32(count)), bytes.Repeat([]byte("d"), count)...))
		if err := c.Gather(n, head, tail); err != nil || c.N != count || len(c.Reply) != transport.PayloadHeadSize {
			t.Errorf("%d bytes: N %d, %v", count, c.N, err)
		}
		if !bytes.Equal(c.In[:c.N], bytes.Repeat([]byte("d"), count)) {
			t.Errorf("%d bytes: not where they were", count)
		}
	}
}

func TestGatherRefuses(t *testing.T) {
	for name, spoil := range map[string]func(n *int, head []byte){
		"nothing written":            func(n *int, _ []byte) { *n = 0 },
		"more than there is room":    func(n *int, _ []byte) { *n = 11 + 64 + 32 + 1 },
		"another tag":                func(_ *int, head []byte) { head[5]++ },
		"another type":               func(_ *int, head []byte) { head[4] = 121 },
		"a size over what came":      func(_ *int, head []byte) { head[0]++ },
		"a size of less than a head": func(_ *int, head []byte) { head[0] = 6 },
		"a size without count":       func(_ *int, head []byte) { head[0] = 10 },
		"a count over what came":     func(_ *int, head []byte) { head[7]++ },
		"a count under what came":    func(_ *int, head []byte) { head[7]-- },
		"a count over what is asked": func(_ *int, head []byte) { head[10] = 1 },
		"a long number":              func(_ *int, head []byte) { head[4] = rlerror },
	} {
		c, n, head, tail := written(64, 32, rread, append([]byte{60, 0, 0, 0}, make([]byte, 60)...))
		spoil(&n, head)
		if err := c.Gather(n, head, tail); !errors.Is(err, transport.ErrProtocol) || c.N != 0 {
			t.Errorf("%s: N %d, %v", name, c.N, err)
		}
	}
}

func FuzzGather(f *testing.F) {
	f.Add(uint16(16), byte(rerror), []byte("\x04\x00nope\x02\x00\x00\x00"))
	f.Add(uint16(16), byte(rread), []byte("\x04\x00\x00\x00data"))
	f.Fuzz(func(t *testing.T, count uint16, kind byte, body []byte) {
		const room = 269
		c, n, head, tail := written(max(1, int(count)), room, kind, body)
		if err := c.Gather(n, head, tail); err == nil && (c.N > len(c.In) || len(c.Reply) > room) {
			t.Errorf("N %d of %d, reply of %d", c.N, len(c.In), len(c.Reply))
		}
	})
}
