package node_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"google.golang.org/grpc/codes"
)

// listen answers every connection at a socket with some bytes, or with its end.
func listen(t *testing.T, path, answer string, hold bool) string {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var open []net.Conn
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(answer))
			if open = append(open, conn); !hold {
				conn.Close()
			}
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
		for _, conn := range open {
			conn.Close()
		}
	})
	return "unix://" + path
}

// TestEventsOfAPod: the kubelet makes an event of the error of NodeStageVolume, which says what is wrong with what, and
// what to do about it.
func TestEventsOfAPod(t *testing.T) {
	k := newKubelet(t)
	k.config = filepath.Join(k.dir, "shares.yaml")
	k.must(os.WriteFile(k.config, []byte("shares: {tank: {server: 'tcp://127.0.0.1:1'}}"), 0o600))
	k.restart()
	k.must(os.WriteFile(k.onServer("file"), nil, 0o600))
	k.must(os.Mkdir(k.onServer("locked"), 0o700))
	web := listen(t, filepath.Join(k.dir, "web"), "HTTP/1.1 400 Bad Request\r\n\r\n", true)
	closing := listen(t, filepath.Join(k.dir, "closing"), "", false)
	mute := listen(t, filepath.Join(k.dir, "mute"), "", true)
	url := k.exporter.URL
	for name, c := range map[string]struct {
		values  map[string]string
		options []string
		code    codes.Code
		says    []string
	}{
		"nobody listens":        {map[string]string{"server": "tcp://127.0.0.1:1"}, nil, codes.Unavailable, []string{"tcp://127.0.0.1:1", "connection refused", "check that it runs"}},
		"no such host":          {map[string]string{"server": "tcp://nas.invalid"}, nil, codes.Unavailable, []string{"tcp://nas.invalid", "check that it runs"}},
		"no such socket":        {map[string]string{"server": "unix:///nosuch/9p.sock"}, nil, codes.Unavailable, []string{"unix:///nosuch/9p.sock", "check that it runs"}},
		"a share, out of reach": {map[string]string{"share": "tank"}, nil, codes.Unavailable, []string{"share tank", "tcp://127.0.0.1:1", "connection refused"}},
		"a web server":          {map[string]string{"server": web}, nil, codes.Unavailable, []string{web, "not a 9P server", "speaks 9P2000.L"}},
		"no such device":        {map[string]string{"server": "virtio://nosuch"}, nil, codes.Unavailable, []string{"virtio://nosuch", "'csi-9p doctor virtio://nosuch' on the node"}},
		"a refused peer":        {map[string]string{"server": closing}, nil, codes.Unavailable, []string{closing, "lets this node in"}},
		"a mute server":         {map[string]string{"server": mute}, nil, codes.DeadlineExceeded, []string{mute, "no answer in time", "check that it runs"}},
		"unknown share":         {map[string]string{"share": "tnak"}, nil, codes.FailedPrecondition, []string{`"tnak"`, `"tank"`, "shares.yaml", "correct the parameter share"}},
		"unknown key":           {map[string]string{"server": url, "msiez": "1Mi"}, nil, codes.InvalidArgument, []string{"parameter msiez", "did you mean msize"}},
		"wrong value":           {map[string]string{"server": url, "msize": "banana"}, nil, codes.InvalidArgument, []string{`msize="banana"`, "1Mi"}},
		"msize too small":       {map[string]string{"server": url, "msize": "10"}, nil, codes.InvalidArgument, []string{`msize="10"`, "from 4096"}},
		"no server":             {map[string]string{}, nil, codes.InvalidArgument, []string{"give server", "share"}},
		"wrong scheme":          {map[string]string{"server": "nfs://nas"}, nil, codes.InvalidArgument, []string{"nfs://nas", "must begin with tcp://"}},
		"wrong mount option":    {map[string]string{"server": url}, []string{"nolock"}, codes.InvalidArgument, []string{"nolock", "key=value"}},
		"wrong aname":           {map[string]string{"server": url, "aname": "/nosuch"}, nil, codes.NotFound, []string{url, "/nosuch", "check aname"}},
		"aname of a file":       {map[string]string{"server": url, "aname": "/file"}, nil, codes.FailedPrecondition, []string{url, "/file", "aname has to name a directory"}},
		"wrong subDir":          {map[string]string{"server": url, "subDir": "nosuch"}, nil, codes.NotFound, []string{url, "nosuch", "correct subDir"}},
		"subDir of a file":      {map[string]string{"server": url, "subDir": "file"}, nil, codes.FailedPrecondition, []string{url, "file", "subDir has to name a directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			request := k.stageRequest("v")
			request.VolumeContext = c.values
			request.VolumeCapability = capability(csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER, c.options...)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := k.NodeStageVolume(ctx, request)
			if err == nil {
				k.must(k.unstage("v"))
				t.Fatal("staged")
			}
			if got := driver.Code(err); got != c.code {
				t.Errorf("%v, want %v", got, c.code)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
}

// TestEventsWithoutAMounter: whoever reads them is sent to the mounter.
func TestEventsWithoutAMounter(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"))
	k.mounter.Kill()
	for call, err := range map[string]error{"stage": k.stage("v"), "publish": k.publish("v", "p"), "ready": k.Ready(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), k.mounter.Path) || !strings.Contains(err.Error(), "csi-9p-mounter") {
			t.Errorf("%s: %v", call, err)
		}
	}
	k.must(k.unstage("v"))
}
