package mounter_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The main thread is kept from the tests: one of them changes its thread's user.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is a raw connection to a control socket.
type peer struct {
	tb   testing.TB
	conn *net.UnixConn
}

func dial(tb testing.TB, m *nodetest.Mounter) peer {
	tb.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: m.Path, Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return peer{tb, conn}
}

func frame(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// write sends bytes and descriptors. The other side may have hung up already.
func (p peer) write(b []byte, fds ...int) {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, _ = p.conn.WriteMsgUnix(b, oob, nil)
}

// answer returns what the mounter says; nil when it only hangs up.
func (p peer) answer() map[string]any {
	p.tb.Helper()
	var head [4]byte
	if _, err := io.ReadFull(p.conn, head[:]); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.tb.Fatal("the mounter neither answers nor hangs up")
		}
		return nil
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(p.conn, body); err != nil {
		p.tb.Fatalf("half an answer: %v", err)
	}
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		p.tb.Fatalf("answer %q: %v", body, err)
	}
	return answer
}

func (p peer) message() string {
	p.tb.Helper()
	failure, _ := p.answer()["error"].(map[string]any)
	message, _ := failure["message"].(string)
	return message
}

func TestHostilePeers(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd := int(null.Fd())
	for name, test := range map[string]struct {
		bytes []byte
		fds   []int
		want  string // in the message of the answer
	}{
		"a long message":           {binary.BigEndian.AppendUint32(nil, 1<<31), nil, "longer than"},
		"no JSON":                  {frame("hello"), nil, "invalid character"},
		"no object":                {frame(`[1]`), nil, "cannot unmarshal"},
		"an unknown field":         {frame(`{"version":2,"call":"list","x":1}`), nil, "unknown field"},
		"two objects":              {frame(`{"version":2,"call":"list"}{}`), nil, "bytes after the object"},
		"another version":          {frame(`{"version":3,"call":"list"}`), nil, "one release"},
		"no version":               {frame(`{"call":"list"}`), nil, "one release"},
		"an unknown call":          {frame(`{"version":2,"call":"mount","volume":"v"}`), nil, `no call "mount"`},
		"no volume":                {frame(`{"version":2,"call":"release"}`), nil, "without a volume"},
		"no spec":                  {frame(`{"version":2,"call":"prepare"}`), nil, "without a spec"},
		"an empty spec":            {frame(`{"version":2,"call":"prepare","spec":{"volumeID":"","server":"","context":{}}}`), nil, "volume id"},
		"an unknown volume":        {frame(`{"version":2,"call":"stats","volume":"v"}`), nil, "does not know"},
		"a negative size":          {frame(`{"version":2,"call":"resize","volume":"v","bytes":-1}`), nil, "does not know"},
		"a descriptor for a list":  {frame(`{"version":2,"call":"list"}`), []int{fd}, "takes no descriptor"},
		"no descriptor":            {frame(`{"version":2,"call":"serve","volume":"v"}`), nil, "needs a descriptor"},
		"another device":           {frame(`{"version":2,"call":"serve","volume":"v"}`), []int{fd}, "does not know"},
		"two descriptors":          {frame(`{"version":2,"call":"serve","volume":"v"}`), []int{fd, fd}, "more than one descriptor"},
		"two hundred descriptors":  {frame(`{"version":2,"call":"list"}`), repeat(fd, 200), "more than one descriptor"},
		"a descriptor and no JSON": {frame(`{`), []int{fd}, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			nodetest.NoLeaks(t)
			m := nodetest.NewMounter(t)
			p := dial(t, m)
			p.write(test.bytes, test.fds...)
			if got := p.message(); !strings.Contains(got, test.want) {
				t.Errorf("answered %q, want ...%s...", got, test.want)
			}
			if _, err := m.List(t.Context()); err != nil {
				t.Errorf("the mounter afterwards: %v", err)
			}
		})
	}
}

func repeat(fd, n int) []int {
	fds := make([]int, n)
	for i := range fds {
		fds[i] = fd
	}
	return fds
}

func TestPeersThatHangUp(t *testing.T) {
	nodetest.NoLeaks(t)
	m := nodetest.NewMounter(t)
	whole := frame(`{"version":2,"call":"list"}`)
	for n := range len(whole) {
		p := dial(t, m)
		p.write(whole[:n])
		_ = p.conn.Close()
	}
	if volumes, err := m.List(t.Context()); err != nil || len(volumes) != 0 {
		t.Errorf("List = %v, %v", volumes, err)
	}
}

func TestListenReplacesADeadSocketOnly(t *testing.T) {
	m := nodetest.NewMounter(t)
	if _, err := mounter.Listen(t.Context(), "unix://"+m.Path); err == nil {
		t.Error("two mounters listen on one socket")
	}
	dead := filepath.Join(nodetest.Dir(t), "dead.sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	_ = old.Close()
	l, err := mounter.Listen(t.Context(), "unix://"+dead)
	if err != nil {
		t.Fatalf("the socket of a dead mounter: %v", err)
	}
	defer l.Close()
	if info, err := os.Stat(dead); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

// letIn makes the way to a directory of the test's passable for every user.
func letIn(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// asNobody calls do as a user that owns nothing.
func asNobody(do func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			err = errno
			return
		}
		err = do()
	}()
	<-done
	return err
}

func TestOnlyRootAndItsOwnUserAreHeard(t *testing.T) {
	m := nodetest.NewMounter(t)
	letIn(t, filepath.Dir(m.Path))
	list := func() error {
		_, err := m.List(context.Background())
		return err
	}
	if err := asNobody(list); !errors.Is(err, mounter.ErrUnreachable) {
		t.Errorf("another user on a socket of mode 0600: %v", err)
	}
	if err := os.Chmod(m.Path, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := asNobody(list); !errors.Is(err, unix.EPERM) {
		t.Errorf("another user on a socket open to all: %v, want EPERM", err)
	}
}

func TestNoMounter(t *testing.T) {
	client := mounter.Client{Path: filepath.Join(nodetest.Dir(t), "none.sock")}
	_, err := client.List(t.Context())
	if !errors.Is(err, mounter.ErrUnreachable) || errors.Is(err, unix.ENOENT) {
		t.Errorf("error %v, want ErrUnreachable and no errno", err)
	}
}

// A mounter that accepts and never answers, as one that is stopped does.
func TestSilentMounter(t *testing.T) {
	path := filepath.Join(nodetest.Dir(t), "silent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	client := mounter.Client{Path: path}
	if _, err := client.List(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want DeadlineExceeded", err)
	}
}

func FuzzControl(f *testing.F) {
	for _, seed := range []string{
		`{"version":2,"call":"list"}`,
		`{"version":2,"call":"list","volume":"v","millis":5}`,
		`{"version":2,"call":"serve","volume":"v"}`,
		`{"version":2,"call":"resize","volume":"v","bytes":9}`,
		`{"version":2,"call":"prepare","spec":{"volumeID":"v","server":"tcp://","context":{"Directory":["a",".."]}}}`,
		`{"version":2,"call":"release","volume":"v"} `,
	} {
		f.Add(frame(seed))
	}
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, '{'})
	m := nodetest.NewMounter(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := dial(t, m)
		p.write(b)
		_ = p.conn.CloseWrite()
		p.answer()
	})
}
