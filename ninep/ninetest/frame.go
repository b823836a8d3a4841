package ninetest

import (
	"encoding/binary"

	"github.com/csi-9p/csi-9p/ninep"
)

// frame puts a message together that the codec would not: values are bytes,
// and numbers and strings as the wire has them. Its tag is someTag.
func frame(t ninep.MsgType, values ...any) []byte {
	b := []byte{0, 0, 0, 0, byte(t), someTag, 0}
	for _, value := range values {
		switch v := value.(type) {
		case uint8:
			b = append(b, v)
		case uint16:
			b = binary.LittleEndian.AppendUint16(b, v)
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, v)
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, v)
		case ninep.FID:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		case string:
			b = binary.LittleEndian.AppendUint16(b, uint16(len(v)))
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		default:
			panic("no value of a frame")
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

// frame is a message as the codec has it, with tag someTag.
func (s *scope) frame(m ninep.Message) []byte {
	s.tb.Helper()
	b, err := s.dialect().Append(nil, someTag, m)
	s.ok(err, "encode")
	return append(b, ninep.Payload(m)...)
}

// walkFrame is a Twalk of any number of names.
func walkFrame(fid, newFid ninep.FID, names []string) []byte {
	values := []any{fid, newFid, uint16(len(names))}
	for _, name := range names {
		values = append(values, name)
	}
	return frame(ninep.TypeTwalk, values...)
}
