package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// groups are the users of the lab and what makes the API server let them do their work.
func (c *Cluster) groups() map[string]string {
	groups := map[string]string{"admin": "system:masters", "system:kube-proxy": ""}
	for _, n := range c.Nodes {
		groups["system:node:"+n.Name] = "system:nodes"
	}
	return groups
}

// prepareCredentials writes the certificate of the API server, the key of service accounts, the tokens of the users
// and the administrator's kubeconfig.
func (c *Cluster) prepareCredentials() error {
	certificate, key, err := cert.GenerateSelfSignedCertKey(adminIP, []net.IP{net.ParseIP(kubernetesIP)}, []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc"})
	if err != nil {
		return err
	}
	serviceAccounts, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	var tokens strings.Builder
	c.tokens = map[string]string{}
	for user, group := range c.groups() {
		c.tokens[user] = rand.Text()
		fmt.Fprintf(&tokens, "%s,%s,%s,%q\n", c.tokens[user], user, user, group)
	}
	c.authority = c.file("apiserver.crt")
	return errors.Join(
		os.WriteFile(c.authority, certificate, 0o644),
		os.WriteFile(c.file("apiserver.key"), key, 0o600),
		os.WriteFile(c.file("serviceaccounts.key"), serviceAccounts, 0o600),
		os.WriteFile(c.file("tokens.csv"), []byte(tokens.String()), 0o600),
		c.writeKubeconfig(c.Kubeconfig, "admin"),
	)
}

func (c *Cluster) file(name string) string { return filepath.Join(c.Dir, name) }

func (c *Cluster) writeKubeconfig(path, user string) error {
	return renderTo(path, "kubeconfig.yaml", kubeconfig{
		Server: "https://" + net.JoinHostPort(adminIP, apiserverPort), CA: c.authority, User: user, Token: c.tokens[user],
	})
}

// startAPI starts the control plane; the API server answers when it returns.
func (c *Cluster) startAPI(ctx context.Context) error {
	const etcd = "http://127.0.0.1:2379"
	const etcdPeer = "http://127.0.0.1:2380"
	start := func(name string, args ...string) (*Process, error) {
		p := &Process{
			Name: name, Log: filepath.Join(c.Reports, "logs", name+".log"),
			path: filepath.Join(c.programs, name), args: append([]string{name}, args...),
		}
		c.processes = append(c.processes, p)
		return p, p.Start()
	}
	_, err := start("etcd", "--data-dir", c.file("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", etcdPeer, "--initial-advertise-peer-urls", etcdPeer, "--initial-cluster", "default="+etcdPeer)
	if err != nil {
		return err
	}
	apiserver, err := start("kube-apiserver", "--etcd-servers", etcd, "--service-cluster-ip-range", servicesCIDR,
		"--advertise-address", adminIP, "--secure-port", apiserverPort,
		"--tls-cert-file", c.authority, "--tls-private-key-file", c.file("apiserver.key"),
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", c.file("serviceaccounts.key"), "--service-account-signing-key-file", c.file("serviceaccounts.key"),
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--token-auth-file", c.file("tokens.csv"),
		"--allow-privileged", "--kubelet-preferred-address-types", "InternalIP", "--profiling=false")
	if err != nil {
		return err
	}
	if err := c.connectAPI(); err != nil {
		return err
	}
	err = apiserver.Await(ctx, func(ctx context.Context) error {
		return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		return err
	}
	_, err = start("kube-controller-manager", "--kubeconfig", c.Kubeconfig, "--leader-elect=false",
		"--service-account-private-key-file", c.file("serviceaccounts.key"), "--root-ca-file", c.authority,
		"--node-monitor-period", "2s", "--profiling=false")
	if err != nil {
		return err
	}
	_, err = start("kube-scheduler", "--kubeconfig", c.Kubeconfig, "--leader-elect=false", "--profiling=false")
	return err
}
