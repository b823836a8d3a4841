package main

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// push sends the index and its images to a registry. Registries of this host (localhost, 127.0.0.1) are spoken to without TLS.
func push(ctx context.Context, to string, index v1.ImageIndex, out io.Writer) error {
	ref, err := name.ParseReference(to, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("--push: %w", err)
	}
	err = remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return fmt.Errorf("push to %s: %w", ref, err)
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "pushed %s@%s\n", ref, digest)
	return err
}
