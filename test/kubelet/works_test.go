package kubelet_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// works are what pods do with their volume: each one thing over and over, that
// the server is needed for. All but verify do not heed SIGTERM. The last is no
// pod's.
var works = map[string]lab.Work{
	"read":   forever(readDirectly),
	"write":  forever(func(f *os.File, i int) error { return writeAt(f, i) }),
	"sync":   forever(func(f *os.File, i int) error { return errors.Join(writeAt(f, i), f.Sync()) }),
	"close":  forever(writeAndClose),
	"dirty":  dirty,
	"verify": verify,

	"confined": confined,
}

const fileSize = 8 << 20

// forever does one thing with a file of the volume until it is killed. What fails is said: nothing fails before the pod is
// told to end.
func forever(once func(f *os.File, i int) error) lab.Work {
	return func(args []string) error {
		signal.Ignore(syscall.SIGTERM)
		f, err := os.Create(filepath.Join(args[0], fmt.Sprint("file-", os.Getpid())))
		if err != nil {
			return err
		}
		if err := f.Truncate(fileSize); err != nil {
			return err
		}
		for i := 0; ; i++ {
			if err := once(f, i); err != nil {
				return err
			}
			fmt.Print(".")
		}
	}
}

func writeAt(f *os.File, i int) error {
	const size = 64 << 10
	_, err := f.WriteAt(bytes.Repeat([]byte{byte(i)}, size), int64(i)*size%fileSize)
	return err
}

func readDirectly(f *os.File, i int) error {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	_, err := f.ReadAt(make([]byte, 64<<10), int64(i)<<16%fileSize)
	return err
}

func writeAndClose(f *os.File, i int) error {
	g, err := os.Create(f.Name() + "-closed")
	if err != nil {
		return err
	}
	return errors.Join(writeAt(g, i%2), unix.FcntlFlock(g.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}), g.Close())
}

// dirty keeps pages of a mapping dirty.
func dirty(args []string) error {
	signal.Ignore(syscall.SIGTERM)
	f, err := os.Create(filepath.Join(args[0], "mapped"))
	if err != nil {
		return err
	}
	if err := f.Truncate(fileSize); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, fileSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for round := 0; ; round++ {
		for i := 0; i < fileSize; i += os.Getpagesize() {
			m[i] = byte(round)
		}
		fmt.Print(".")
		time.Sleep(10 * time.Millisecond)
	}
}

// verify writes records, reads back earlier ones and checks them, until SIGTERM: then it says how long the longest wait for
// one was, and checks all of them.
func verify(args []string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	f, err := os.Create(filepath.Join(args[0], "records"))
	if err != nil {
		return err
	}
	defer f.Close()
	var longest time.Duration
	n := int64(0)
	for ; ; n++ {
		time.Sleep(2 * time.Millisecond)
		start := time.Now()
		drop := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // so that the server is asked
		if err := errors.Join(drop, write(f, n), check(f, n*7919%(n+1))); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		longest = max(longest, time.Since(start))
		select {
		case <-stop:
			if err := checkAll(f, n); err != nil {
				return err
			}
			fmt.Printf("\n%d records, longest %d ms\n", n+1, longest.Milliseconds())
			return nil
		default:
			fmt.Print(".")
		}
	}
}

// checkAll checks the records up to n, as the server has them.
func checkAll(f *os.File, n int64) error {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	for i := range n + 1 {
		if err := check(f, i); err != nil {
			return fmt.Errorf("at the end, record %d of %d: %w", i, n, err)
		}
	}
	return nil
}

const recordSize = 4096

// content is a record, which holds its number and the sum of that.
func content(n int64) []byte {
	number := binary.BigEndian.AppendUint64(nil, uint64(n))
	sum := sha256.Sum256(number)
	return bytes.Repeat(append(number, sum[:24]...), recordSize/32)
}

func write(f *os.File, n int64) error {
	_, err := f.WriteAt(content(n), n*recordSize)
	return err
}

func check(f *os.File, n int64) error {
	got := make([]byte, recordSize)
	if _, err := f.ReadAt(got, n*recordSize); err != nil {
		return err
	}
	if !bytes.Equal(got, content(n)) {
		return errors.New("it is not what was written")
	}
	return nil
}
