// Package dns answers for the names of a cluster's Services, in place of CoreDNS: an A record for each address of
// SERVICE.NAMESPACE.svc.DOMAIN, where a Service without an address of its own has those of its endpoints.
package dns

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// Domain is the cluster's.
const Domain = "cluster.local"

// ttl is that of an answer, in seconds.
const ttl = 1

// Server answers questions of pods.
type Server struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	sync     func(context.Context) error
}

// New returns a server for the cluster. Its informers run until ctx ends.
func New(ctx context.Context, client kubernetes.Interface) *Server {
	factory := informers.NewSharedInformerFactory(client, 0)
	s := &Server{
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
	}
	factory.Start(ctx.Done())
	s.sync = func(ctx context.Context) error {
		for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
			if !ok {
				return fmt.Errorf("dns: no list of %s", kind)
			}
		}
		return nil
	}
	return s
}

// Serve answers at the address, over UDP and TCP, until ctx ends.
func (s *Server) Serve(ctx context.Context, address string) error {
	if err := s.sync(ctx); err != nil {
		return err
	}
	tasks, ctx := errgroup.WithContext(ctx)
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: address, Net: network, Handler: s}
		tasks.Go(server.ListenAndServe)
		tasks.Go(func() error {
			<-ctx.Done()
			return server.Shutdown()
		})
	}
	return tasks.Wait()
}

// ServeDNS answers one question. What is no name of a Service does not exist: there are no other machines here.
func (s *Server) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg)
	answer.SetReply(question)
	answer.Authoritative = true
	for _, q := range question.Question {
		addresses, err := s.lookup(q.Name)
		if err != nil {
			answer.Rcode = dns.RcodeNameError
			break
		}
		if q.Qtype != dns.TypeA {
			continue
		}
		for _, a := range addresses {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: net.ParseIP(a),
			})
		}
	}
	_ = w.WriteMsg(answer) // the asker asks again
}

// lookup returns the addresses of a Service. Its error says that there is none of the name.
func (s *Server) lookup(name string) ([]string, error) {
	service, ok := strings.CutSuffix(strings.ToLower(name), ".svc."+Domain+".")
	if !ok {
		return nil, fmt.Errorf("%s is not in the cluster", name)
	}
	service, namespace, _ := strings.Cut(service, ".")
	object, err := s.services.Services(namespace).Get(service)
	if err != nil {
		return nil, err
	}
	if object.Spec.ClusterIP != corev1.ClusterIPNone {
		return object.Spec.ClusterIPs, nil
	}
	endpoints, err := s.slices.EndpointSlices(namespace).List(labels.Set{discoveryv1.LabelServiceName: service}.AsSelector())
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, slice := range endpoints {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				addresses = append(addresses, e.Addresses...)
			}
		}
	}
	return addresses, nil
}
