// Package initramfs writes archives from which a Linux kernel fills its first file system: cpio in the format "newc"
// (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
package initramfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Writer writes an archive. A directory is written before what lies in it, without being asked for.
type Writer struct {
	w     *bufio.Writer
	inode uint32
	dirs  []string
	pad   int64 // bytes written, as far as padding is concerned
}

// NewWriter returns a writer of an archive to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: bufio.NewWriterSize(w, 1<<20)} }

// header is that of an entry.
type header struct {
	name         string
	mode         uint32
	size         int64
	major, minor uint32 // of the device that it is
}

// trailer is the name of the entry that ends an archive.
const trailer = "TRAILER!!!"

// largest is the size that no file can have: sizes are 32 bits.
const largest = 1 << 32

func (w *Writer) header(h header) error {
	if h.size >= largest {
		return fmt.Errorf("%s: %d bytes are too many for an initramfs", h.name, h.size)
	}
	w.inode++
	if h.name == trailer {
		w.inode = 0
	}
	const uid, gid, links, mtime, check = 0, 0, 1, 0, 0
	n, err := fmt.Fprintf(w.w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		w.inode, h.mode, uid, gid, links, mtime, h.size, 0, 0, h.major, h.minor, len(h.name)+1, check, h.name)
	w.pad += int64(n)
	return errors.Join(err, w.align())
}

// align fills up to a multiple of four bytes.
func (w *Writer) align() error {
	fill := -w.pad & 3
	w.pad += fill
	_, err := w.w.WriteString("\x00\x00\x00"[:fill])
	return err
}

// parents writes the directories that name lies in.
func (w *Writer) parents(name string) error {
	dir := path.Dir(name)
	if dir == "." {
		return nil
	}
	return w.Dir(dir)
}

// Dir writes a directory, if it has not been written yet. Names have no slash in front.
func (w *Writer) Dir(name string) error {
	if slices.Contains(w.dirs, name) {
		return nil
	}
	if err := w.parents(name); err != nil {
		return err
	}
	w.dirs = append(w.dirs, name)
	return w.header(header{name: name, mode: unix.S_IFDIR | 0o755})
}

// Device writes a character device.
func (w *Writer) Device(name string, major, minor uint32) error {
	if err := w.parents(name); err != nil {
		return err
	}
	return w.header(header{name: name, mode: unix.S_IFCHR | 0o600, major: major, minor: minor})
}

// Link writes a symbolic link.
func (w *Writer) Link(name, target string) error {
	return w.file(header{name: name, mode: unix.S_IFLNK | 0o777, size: int64(len(target))}, strings.NewReader(target))
}

// Bytes writes a file with the content given.
func (w *Writer) Bytes(name string, mode uint32, content []byte) error {
	return w.file(header{name: name, mode: unix.S_IFREG | mode, size: int64(len(content))}, strings.NewReader(string(content)))
}

// File writes a copy of a file of this machine.
func (w *Writer) File(name, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return w.file(header{name: name, mode: unix.S_IFREG | uint32(info.Mode().Perm()), size: info.Size()}, f)
}

func (w *Writer) file(h header, content io.Reader) error {
	if err := errors.Join(w.parents(h.name), w.header(h)); err != nil {
		return err
	}
	n, err := io.Copy(w.w, content)
	if err == nil && n != h.size {
		err = fmt.Errorf("%s: %d bytes are there, it was to have %d", h.name, n, h.size)
	}
	w.pad += n
	return errors.Join(err, w.align())
}

// Close ends the archive. What it was written to remains open.
func (w *Writer) Close() error {
	return errors.Join(w.header(header{name: trailer}), w.w.Flush())
}
