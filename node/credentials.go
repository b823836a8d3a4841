package node

import (
	"context"
	"errors"
	"strings"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
)

// credentialsFor are those for the server of a share: of the call's secrets if it
// has them, else the share's own. Without TLS secrets are ignored.
func credentialsFor(share shares.Share, secrets map[string]string) (mounter.Credentials, error) {
	if share.Server.Scheme != dial.TLS {
		return mounter.Credentials{}, nil
	}
	secret, err := mtls.FromSecret(secrets)
	if err != nil || secret != nil {
		return mounter.Credentials{Secret: secret}, err
	}
	return mounter.Credentials{Files: share.TLS}, nil
}

// renew gives the session of a volume that is served the secret of a later call.
func (s *Service) renew(ctx context.Context, volumeID string, secret *mtls.PEM) error {
	if secret == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	return unproven(s.options.Mounter.Renew(ctx, volumeID, secret))
}

// renewMounted is renew for a call that does not say where the volume's server is.
func (s *Service) renewMounted(ctx context.Context, volumeID string, secrets map[string]string) error {
	if len(secrets) == 0 {
		return nil
	}
	got, err := s.options.Mounter.Status(ctx, volumeID)
	if err != nil || !strings.HasPrefix(got.Spec.Server, dial.TLS+"://") {
		return failed(err)
	}
	secret, err := mtls.FromSecret(secrets)
	if err != nil {
		return err
	}
	return s.renew(ctx, volumeID, secret)
}

// unproven is failed with advice for volumes without credentials, or with files
// for all volumes that are not there.
func unproven(err error) error {
	if errors.Is(err, mtls.ErrNone) || errors.Is(err, mtls.ErrFiles) {
		return driver.Errorf(driver.Code(err), "%w; name a Secret with ca.crt, tls.crt and tls.key: by csi.storage.k8s.io/node-stage-secret-name and "+
			"-namespace, and the same of node-publish, in the StorageClass, or by nodeStageSecretRef and nodePublishSecretRef in a PersistentVolume; "+
			"or give the mounter good files by --tls-ca, --tls-cert and --tls-key", err)
	}
	return failed(err)
}
