package dns_test

import (
	"context"
	"net"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	lab "github.com/csi-9p/csi-9p/test/e2e/dns"
)

func TestServe(t *testing.T) {
	client := fake.NewClientset(
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.7", ClusterIPs: []string{"10.96.0.7"}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"}, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}},
		&discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: "db-1", Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.78.1.4"}}},
		},
	)
	ctx, cancel := context.WithCancel(t.Context())
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()
	ended := make(chan error, 1)
	go func() { ended <- lab.New(ctx, client).Serve(ctx, address) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for _, tc := range []struct {
		name  string
		rcode int
		want  string
	}{
		{"web.shop.svc.cluster.local.", dns.RcodeSuccess, "10.96.0.7"},
		{"WEB.shop.svc.cluster.local.", dns.RcodeSuccess, "10.96.0.7"},
		{"db.shop.svc.cluster.local.", dns.RcodeSuccess, "10.78.1.4"},
		{"web.other.svc.cluster.local.", dns.RcodeNameError, ""},
		{"web.shop.svc.cluster.local.svc.cluster.local.", dns.RcodeNameError, ""},
		{"example.com.", dns.RcodeNameError, ""},
	} {
		reply := ask(t, address, tc.name)
		got := ""
		for _, rr := range reply.Answer {
			got += rr.(*dns.A).A.String()
		}
		if reply.Rcode != tc.rcode || got != tc.want {
			t.Errorf("%s: %s %q, want %s %q", tc.name, dns.RcodeToString[reply.Rcode], got, dns.RcodeToString[tc.rcode], tc.want)
		}
	}
}

// ask asks until the server is there.
func ask(t *testing.T, address, name string) *dns.Msg {
	t.Helper()
	for {
		reply, err := dns.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion(name, dns.TypeA), address)
		if err == nil {
			return reply
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}
