package main

import (
	"fmt"

	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/spf13/pflag"
)

// tlsFlags name a client's credentials for servers at tls://.
type tlsFlags struct{ mtls.Files }

// add defines the flags; whose says what the credentials are for.
func (f *tlsFlags) add(flags *pflag.FlagSet, whose string) {
	flags.StringVar(&f.CA, "tls-ca", "", "file with the authorities that issue servers' certificates, "+whose)
	flags.StringVar(&f.Certificate, "tls-cert", "", "file with this client's certificate and its chain")
	flags.StringVar(&f.Key, "tls-key", "", "file with its key; the three are read again when they change")
}

// source is for the files, which may come later; nil where none is named.
func (f *tlsFlags) source() (mtls.Source, error) {
	if f.IsZero() {
		return nil, nil
	}
	if f.Check() != nil {
		return nil, fmt.Errorf("%w: --tls-ca, --tls-cert and --tls-key are needed together", errUsage)
	}
	source, err := mtls.ExpectFiles(f.Files)
	if err != nil {
		return nil, err
	}
	return source, nil
}
