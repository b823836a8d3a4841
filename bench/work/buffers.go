package work

import "golang.org/x/sys/unix"

// buffers maps n buffers of size bytes that begin at pages, as direct I/O wants them. Their content is no zeroes, which
// something on the way might treat better.
func buffers(n, size int) (list [][]byte, free func() error, err error) {
	const page = 4096
	stride := (size + page - 1) &^ (page - 1)
	all, err := unix.Mmap(-1, 0, n*stride, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, err
	}
	scribble(all)
	for i := range n {
		list = append(list, all[i*stride:][:size:size])
	}
	return list, func() error { return unix.Munmap(all) }, nil
}

func scribble(b []byte) {
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
}
