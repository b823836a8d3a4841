// Package shares reads the driver's configuration of shares: the servers that
// volumes name by parameter share, so that a server's address can change under
// living volumes. The file is YAML:
//
//	shares:
//	  tank:
//	    server: tcp://10.0.0.5:564
//	    aname: /tank
//	    controllerServer: tcp://tank.example:564
//	  vault:
//	    server: tls://10.0.0.6
//	    tls: {ca: /tls/ca.crt, cert: /tls/tls.crt, key: /tls/tls.key, serverName: vault.example}
package shares

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"sigs.k8s.io/yaml"
)

var (
	// ErrConfig means that the file cannot be read or says something wrong.
	ErrConfig = errors.New("share configuration")
	// ErrUnknown means that no share of that name is configured.
	ErrUnknown = errors.New("unknown share")
)

// Share is one server and tree, by the roads that lead to it. Both URLs carry
// the aname.
type Share struct {
	Server     dial.URL   // the nodes' road
	Controller dial.URL   // the controller's
	TLS        mtls.Files // for tls servers among them; zero: none of its own
}

// Shares is a configuration file, read again when it has changed. The zero
// value has no file and no shares. It is safe for concurrent use.
type Shares struct {
	path string // empty: no file, no shares

	mu     sync.Mutex
	read   stamp
	byName map[string]Share
}

// stamp tells one content of the file from another. A ConfigMap's files are
// symlinks that are swapped, so the inode counts as well.
type stamp struct {
	modified time.Time
	size     int64
	file     os.FileInfo
}

// Open reads the configuration at path. An empty path is a driver without
// configured shares, and so is, until there is one, a path without a file: an
// optional ConfigMap may come later.
func Open(path string) (*Shares, error) {
	s := &Shares{path: path}
	if path == "" {
		return s, nil
	}
	return s, s.refresh()
}

// Lookup returns the share of that name as the file has it now. While the file
// is wrong, Lookup fails with ErrConfig: an old address may be a wrong one.
func (s *Shares) Lookup(name string) (Share, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return Share{}, err
	}
	if share, ok := s.byName[name]; ok {
		return share, nil
	}
	if s.path == "" {
		return Share{}, fmt.Errorf("%w %q: the driver runs without --config; use the parameter server instead", ErrUnknown, name)
	}
	if s.read.file == nil {
		return Share{}, fmt.Errorf("%w: %w %q: there is no %s", ErrConfig, ErrUnknown, name, s.path)
	}
	return Share{}, fmt.Errorf("%w %q: %s has %q; add it there, or correct the parameter share", ErrUnknown, name, s.path, slices.Sorted(maps.Keys(s.byName)))
}

// Names returns the configured shares in order.
func (s *Shares) Names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.byName)), nil
}

// Resolve returns the roads to the tree that p names.
func (s *Shares) Resolve(p params.Parameters) (Share, error) {
	if p.Share != "" {
		return s.Lookup(p.Share)
	}
	return resolve(p)
}

// resolve puts the aname and the name of the certificate into the URLs. The
// controller's road may have its own of both, as servers differ in what they
// call a tree.
func resolve(p params.Parameters) (Share, error) {
	u, err := dial.Parse(p.Server)
	if err != nil {
		return Share{}, fmt.Errorf("server: %w", err)
	}
	u.Aname = p.Aname
	if u.Scheme == dial.TLS {
		u.ServerName = p.TLSServerName
	}
	if p.ControllerServer == "" {
		return Share{Server: u, Controller: u}, nil
	}
	c, err := params.ParseControllerServer(p.ControllerServer)
	if err != nil {
		return Share{}, fmt.Errorf("controllerServer: %w", err)
	}
	c.Aname = cmp.Or(c.Aname, p.Aname)
	if c.Scheme == dial.TLS {
		c.ServerName = cmp.Or(c.ServerName, p.TLSServerName)
	}
	return Share{Server: u, Controller: c}, nil
}

// refresh reads the file if it is another one than last time. s.mu is held, or
// s is not shared yet.
func (s *Shares) refresh() error {
	if s.path == "" {
		return nil
	}
	info, err := os.Stat(s.path)
	if errors.Is(err, os.ErrNotExist) {
		s.read, s.byName = stamp{}, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	now := stamp{info.ModTime(), info.Size(), info}
	if s.read.file != nil && os.SameFile(now.file, s.read.file) && now.modified.Equal(s.read.modified) && now.size == s.read.size {
		return nil
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	byName, err := parse(data)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, s.path, err)
	}
	s.read, s.byName = now, byName
	return nil
}

// file is the YAML document.
type file struct {
	Shares map[string]entry `json:"shares"`
}

type entry struct {
	Server           string `json:"server"`
	Aname            string `json:"aname"`
	ControllerServer string `json:"controllerServer"`
	TLS              struct {
		mtls.Files
		ServerName string `json:"serverName"`
	} `json:"tls"`
}

func parse(data []byte) (map[string]Share, error) {
	var f file
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		return nil, err
	}
	byName := make(map[string]Share, len(f.Shares))
	for _, name := range slices.Sorted(maps.Keys(f.Shares)) {
		if err := params.CheckShareName(name); err != nil {
			return nil, fmt.Errorf("share %q: its name %w", name, err)
		}
		share, err := f.Shares[name].share()
		if err != nil {
			return nil, fmt.Errorf("share %q: %w", name, err)
		}
		byName[name] = share
	}
	return byName, nil
}

// share checks an entry by the rules of the parameters of the same names.
func (e entry) share() (Share, error) {
	values := map[string]string{"server": e.Server}
	if e.Server == "" {
		return Share{}, errors.New("server is missing; write a URL such as tcp://host:564")
	}
	if e.Aname != "" {
		values["aname"] = e.Aname
	}
	if e.ControllerServer != "" {
		values["controllerServer"] = e.ControllerServer
	}
	if e.TLS.ServerName != "" {
		values["tlsServerName"] = e.TLS.ServerName
	}
	p, err := params.Parse(values)
	if err != nil {
		return Share{}, err
	}
	s, err := resolve(p)
	if err != nil || e.TLS.IsZero() {
		return s, err
	}
	s.TLS = e.TLS.Files
	return s, s.checkTLS()
}

// checkTLS checks where the files are said to be. Whether they are there is for
// the processes that use them.
func (s Share) checkTLS() error {
	if s.Server.Scheme != dial.TLS && s.Controller.Scheme != dial.TLS {
		return errors.New("tls is for servers at tls://, which want certificates; leave it out")
	}
	for _, path := range []string{s.TLS.CA, s.TLS.Certificate, s.TLS.Key} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("tls: %q is not an absolute path; ca, cert and key are needed together", path)
		}
	}
	return nil
}
