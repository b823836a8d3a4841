package server

import (
	"testing"
	"unsafe"
)

// O_DIRECT needs buffers that are aligned, and a message needs one that is large enough and not much larger.
func TestBuffers(t *testing.T) {
	var pool buffers
	for _, n := range []int{0, 1, 4095, 4096, 4097, 1 << 16, 1<<20 - 24, 1 << 20, 1<<20 + 1, 4<<20 + 13, maxMsize} {
		b := pool.get(n)
		if len(b.bytes) < n || n > pageSize && len(b.bytes) >= 2*n || len(b.bytes) != bufferSize(n) {
			t.Errorf("a buffer of %d bytes for %d", len(b.bytes), n)
		}
		if at := uintptr(unsafe.Pointer(&b.bytes[0])); at%pageSize != 0 {
			t.Errorf("the buffer for %d bytes starts at %#x", n, at)
		}
		pool.put(b)
	}
}
