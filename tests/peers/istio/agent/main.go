// SPDX-License-Identifier: Apache-2.0

// agent stands where Istio's own agent stands, between an Envoy and istiod. On one unix socket it
//   - relays ADS streams (both variants) to istiod, and takes out what only Istio's build of Envoy has
//     (metadata exchange, peer metadata, ALPN), so that a stock Envoy accepts the rest unchanged;
//   - serves SDS: "default" is a certificate for the workload that asks (by its node), issued with the
//     authority in -ca; "ROOTCA" is that authority.
//
// It is not a proxy for skiffd, which knows those filters.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	xtype "github.com/cncf/xds/go/udpa/type/v1"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	disco "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

var (
	socket = flag.String("socket", "", "unix socket to listen on")
	istiod = flag.String("istiod", "", "address of istiod's gRPC port")
	caDir  = flag.String("ca", "", "folder with ca-cert.pem and ca-key.pem: serves SDS, and TLS to istiod is checked with it")
	tokens = flag.String("tokens", "", "folder with bearer tokens token-NAMESPACE-ACCOUNT; given, istiod is spoken to over TLS")
)

func main() {
	flag.Parse()
	cc, err := grpc.NewClient(*istiod, grpc.WithTransportCredentials(toIstiod()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	must(err)
	os.Remove(*socket)
	l, err := net.Listen("unix", *socket)
	must(err)
	must(os.Chmod(*socket, 0o666))
	s := grpc.NewServer(grpc.MaxRecvMsgSize(1<<30), grpc.MaxSendMsgSize(1<<30))
	disco.RegisterAggregatedDiscoveryServiceServer(s, &relay{to: disco.NewAggregatedDiscoveryServiceClient(cc)})
	if *caDir != "" {
		secret.RegisterSecretDiscoveryServiceServer(s, newSecrets(*caDir))
	}
	must(s.Serve(l))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func toIstiod() credentials.TransportCredentials {
	if *tokens == "" {
		return insecure.NewCredentials()
	}
	b, err := os.ReadFile(filepath.Join(*caDir, "root-cert.pem"))
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	return credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "istiod.istio-system.svc"})
}

// ---- ADS ------------------------------------------------------------------------------------------

type relay struct {
	disco.UnimplementedAggregatedDiscoveryServiceServer
	to disco.AggregatedDiscoveryServiceClient
}

// outgoing adds the token of the workload that opens the stream: istiod compares it with the node.
func outgoing(ctx context.Context, n *core.Node) (context.Context, error) {
	if *tokens == "" {
		return ctx, nil
	}
	ns, account := workload(n)
	b, err := os.ReadFile(filepath.Join(*tokens, fmt.Sprintf("token-%s-%s", ns, account)))
	if err != nil {
		return nil, err
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(b))), nil
}

// pump copies messages until one side ends; the reason is nil for an end in order.
func pump[M any](recv func() (M, error), send func(M) error, change func(M)) error {
	for {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if change != nil {
			change(m)
		}
		if err := send(m); err != nil {
			return err
		}
	}
}

// upward relays what Envoy sends, beginning with @first, and closes that direction at its end.
func upward[M any](first M, recv func() (M, error), send func(M) error, end func() error) {
	if send(first) == nil {
		pump(recv, send, nil)
	}
	end()
}

func (r *relay) StreamAggregatedResources(down disco.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	first, err := down.Recv()
	if err != nil {
		return err
	}
	ctx, err := outgoing(down.Context(), first.Node)
	if err != nil {
		return err
	}
	up, err := r.to.StreamAggregatedResources(ctx)
	if err != nil {
		return err
	}
	go upward(first, down.Recv, up.Send, up.CloseSend)
	return pump(up.Recv, down.Send, func(m *disco.DiscoveryResponse) {
		for _, a := range m.Resources {
			strip(a)
		}
	})
}

func (r *relay) DeltaAggregatedResources(down disco.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	first, err := down.Recv()
	if err != nil {
		return err
	}
	ctx, err := outgoing(down.Context(), first.Node)
	if err != nil {
		return err
	}
	up, err := r.to.DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	go upward(first, down.Recv, up.Send, up.CloseSend)
	return pump(up.Recv, down.Send, func(m *disco.DeltaDiscoveryResponse) {
		for _, res := range m.Resources {
			if res.Resource != nil {
				strip(res.Resource)
			}
		}
	})
}

// onlyIstio tells a filter that a stock Envoy does not have.
func onlyIstio(config *anypb.Any) bool {
	if strings.HasPrefix(config.GetTypeUrl(), "type.googleapis.com/istio.") {
		return true
	}
	t := &xtype.TypedStruct{}
	return config.MessageIs(t) && config.UnmarshalTo(t) == nil && !strings.Contains(t.TypeUrl, "/envoy.extensions.")
}

func keep[F interface{ GetTypedConfig() *anypb.Any }](filters []F) (kept []F) {
	for _, f := range filters {
		if !onlyIstio(f.GetTypedConfig()) {
			kept = append(kept, f)
		}
	}
	return
}

// strip rewrites a cluster or listener without the filters of Istio's own Envoy; others stay as they are.
func strip(a *anypb.Any) {
	c, l := &cluster.Cluster{}, &listener.Listener{}
	switch {
	case a.MessageIs(c) && a.UnmarshalTo(c) == nil:
		c.Filters = keep(c.Filters)
		repack(a, c)
	case a.MessageIs(l) && a.UnmarshalTo(l) == nil:
		for _, chain := range append(l.FilterChains, l.DefaultFilterChain) {
			if chain == nil {
				continue
			}
			chain.Filters = keep(chain.Filters)
			for _, f := range chain.Filters {
				h := &hcm.HttpConnectionManager{}
				if f.GetTypedConfig().MessageIs(h) && f.GetTypedConfig().UnmarshalTo(h) == nil {
					h.HttpFilters = keep(h.HttpFilters)
					repack(f.GetTypedConfig(), h)
				}
			}
		}
		repack(a, l)
	}
}

func repack(a *anypb.Any, m proto.Message) {
	b, err := proto.Marshal(m)
	must(err)
	a.Value = b
}

// ---- SDS ------------------------------------------------------------------------------------------

type secrets struct {
	secret.UnimplementedSecretDiscoveryServiceServer
	root []byte
	ca   tls.Certificate
	x509 *x509.Certificate
}

func newSecrets(dir string) *secrets {
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca-cert.pem"), filepath.Join(dir, "ca-key.pem"))
	must(err)
	root, err := os.ReadFile(filepath.Join(dir, "root-cert.pem"))
	must(err)
	c, err := x509.ParseCertificate(ca.Certificate[0])
	must(err)
	return &secrets{root: root, ca: ca, x509: c}
}

// workload is the namespace and the service account that a node claims.
func workload(n *core.Node) (ns, account string) {
	f := n.GetMetadata().GetFields()
	if account = f["SERVICE_ACCOUNT"].GetStringValue(); account == "" {
		account = "default"
	}
	return f["NAMESPACE"].GetStringValue(), account
}

func (s *secrets) issue(name string) (chain, key []byte, err error) {
	id, err := url.Parse(name)
	if err != nil {
		return nil, nil, err
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, URIs: []*url.URL{id},
		NotBefore: time.Now().Add(-2 * time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, s.x509, k.Public(), s.ca.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	kb, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ca.Certificate[0]})...)
	return chain, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kb}), nil
}

func inline(b []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: b}}
}

func (s *secrets) secret(name, id string) (*tlsv3.Secret, error) {
	if strings.HasPrefix(name, "ROOTCA") {
		return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(s.root)}}}, nil
	}
	if name != "default" {
		return nil, status.Error(codes.NotFound, "no secret "+name)
	}
	chain, key, err := s.issue(id)
	if err != nil {
		return nil, err
	}
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(chain), PrivateKey: inline(key)}}}, nil
}

// StreamSecrets answers the first request of a stream and each change of its names; an ACK gets nothing.
func (s *secrets) StreamSecrets(stream secret.SecretDiscoveryService_StreamSecretsServer) error {
	var node *core.Node
	asked := ""
	for n := 1; ; n++ {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if m.Node != nil {
			node = m.Node
		}
		names := strings.Join(m.ResourceNames, ",")
		if names == asked || names == "" {
			continue
		}
		asked = names
		ns, account := workload(node)
		id := fmt.Sprintf("spiffe://cluster.local/ns/%s/sa/%s", ns, account)
		out := &disco.DiscoveryResponse{TypeUrl: m.TypeUrl, VersionInfo: fmt.Sprint(n), Nonce: fmt.Sprint(n)}
		for _, name := range m.ResourceNames {
			one, err := s.secret(name, id)
			if err != nil {
				return err
			}
			a, err := anypb.New(one)
			if err != nil {
				return err
			}
			out.Resources = append(out.Resources, a)
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}
