package cluster

import (
	"bytes"
	"embed"
	"os"
	"text/template"
)

// The addresses of the lab. The admin host is the namespace of the one who runs the lab: the control plane is there,
// and servers that are outside of the cluster.
const (
	adminIP       = "10.77.0.1"
	networkBits   = 24
	podsCIDR      = "10.78.0.0/16"
	servicesCIDR  = "10.96.0.0/16"
	kubernetesIP  = "10.96.0.1" // of the Service named kubernetes
	apiserverPort = "6443"
)

//go:embed config
var configs embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(configs, "config/*"))

// nodeConfig is what the configuration of a node's daemons depends on.
type nodeConfig struct {
	Name            string
	Cgroup          string // of the node's pods, as a path below each controller's root
	DNS             string // address of the server for the names of Services
	Domain          string // of those names
	Pause           string // image of the sandboxes
	PodCIDR         string // of this node's pods
	PodsCIDR        string // of all pods
	Programs        string // directory
	ProxyKubeconfig string
}

// kubeconfig is what a client's configuration depends on.
type kubeconfig struct {
	Server, CA, User, Token string
}

// render returns the text of config/name for the values given.
func render(name string, values any) ([]byte, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, name, values)
	return b.Bytes(), err
}

// renderTo writes the text to a file that only root can read: a kubeconfig has a token.
func renderTo(path, name string, values any) error {
	b, err := render(name, values)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}
