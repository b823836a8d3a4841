package mounter

import (
	"context"
	"fmt"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"k8s.io/klog/v2"
)

// Credentials are what a volume's session shows to a tls server: the content of
// a secret, or files that this process reads. Both zero: the mounter's own.
type Credentials struct {
	Secret *mtls.PEM  `json:"secret,omitempty"`
	Files  mtls.Files `json:"files,omitzero"`
}

// source makes them usable; nil where the server wants none.
func (c Credentials) source(server dial.URL, own mtls.Source) (mtls.Source, error) {
	var source mtls.Source
	var err error
	switch {
	case server.Scheme != dial.TLS:
		return nil, nil
	case c.Secret != nil:
		source, err = c.Secret.Parse()
	case !c.Files.IsZero():
		source, err = mtls.ExpectFiles(c.Files) // a session that is open keeps what it read, should they be broken now
	case own != nil:
		return own, nil
	default:
		err = mtls.ErrNone
	}
	if err != nil {
		server.Aname = ""
		return nil, fmt.Errorf("server %s: %w", server, err)
	}
	return source, nil
}

// trialTime bounds the trial of renewed credentials.
const trialTime = 5 * time.Second

// Renew gives the session of a volume the content of a secret that may have
// changed. The next connection shows it; the present one goes on. A secret that
// the server refuses, or that does not trust the server, is refused here and
// leaves the session what it had: other volumes may live on it. When the server
// cannot be asked, the secret replaces what there was untried. A session that
// shows files is not a secret's to change: the volume was opened without one.
func (vs *Volumes) Renew(ctx context.Context, id string, secret *mtls.PEM) error {
	done, err := vs.turn(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	v, err := vs.get(id)
	if err != nil || v.session.dialer.url.Scheme != dial.TLS {
		return err
	}
	fresh, err := secret.Parse()
	if err != nil {
		return fmt.Errorf("server %s: %w", v.session.key.server, err)
	}
	return vs.sessions.renew(ctx, v.session, fresh)
}

func (s *sessions) renew(ctx context.Context, of *session, fresh *mtls.Credentials) error {
	now, secret := of.dialer.credentials().(*mtls.Credentials)
	if !secret || now.Identity() == fresh.Identity() {
		return nil
	}
	logger := klog.FromContext(ctx).WithValues("server", of.key.server, "certificate", fresh.Subject())
	err := of.dialer.try(ctx, fresh, dialects(of.key.dialect))
	switch {
	case mtls.IsSetup(err):
		return fmt.Errorf("server %s: the renewed secret stays unused: %w", of.key.server, err)
	case err != nil:
		logger.Info("Renewed the credentials, untried", "reason", err.Error())
	default:
		logger.Info("Renewed the credentials")
	}
	s.adopt(of, fresh)
	return nil
}

// adopt gives a session its renewed credentials, and lets new volumes with them
// find it, unless there is one for them already. A session that was closed
// meanwhile stays so.
func (s *sessions) adopt(of *session, fresh *mtls.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[of.key] != of {
		return
	}
	of.dialer.renew(fresh)
	delete(s.open, of.key)
	of.key.credentials = fresh.Identity()
	for s.open[of.key] != nil {
		of.key.credentials += "+" // which is nobody's identity
	}
	s.open[of.key] = of
}

// try opens and closes a session with other credentials.
func (d *dialer) try(ctx context.Context, tls mtls.Source, dialects []ninep.Dialect) error {
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	trial := &dialer{url: d.url, logger: d.logger, tls: tls}
	session, err := ninep.Open(ctx, ninep.Config{Dial: trial.dial, Dialects: dialects, ReconnectTimeout: -1})
	if err != nil {
		return err
	}
	return session.Close()
}
