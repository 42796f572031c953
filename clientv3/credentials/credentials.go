// Package credentials has the gRPC credentials of an etcd client, for programs that make their own
// gRPC connections to etcd. A clientv3.Client does not need this package.
//
// Everything here is safe for concurrent use.
package credentials

import (
	"context"
	"crypto/tls"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	grpccredentials "google.golang.org/grpc/credentials"
)

// NewTransportCredential returns TLS credentials for a copy of the configuration. With nil they
// trust the system's certificate authorities.
func NewTransportCredential(cfg *tls.Config) grpccredentials.TransportCredentials {
	return grpccredentials.NewTLS(cfg)
}

// PerRPCCredentialsBundle adds an etcd token to each call of a connection, see
// grpc.WithPerRPCCredentials. The token may be replaced at any time.
type PerRPCCredentialsBundle interface {
	// UpdateAuthToken replaces the token. Calls that begin afterwards carry the new one, or none if
	// it is empty.
	UpdateAuthToken(token string)

	// PerRPCCredentials returns the credentials, which always hold the latest token. They work
	// without transport security too, as etcd's authentication does.
	PerRPCCredentials() grpccredentials.PerRPCCredentials
}

// NewPerRPCCredentialBundle returns a bundle without a token.
func NewPerRPCCredentialBundle() PerRPCCredentialsBundle { return &bundle{} }

// bundle is its own PerRPCCredentials. It holds the metadata of calls as a map that is replaced and
// never changed, so that a call allocates nothing.
type bundle struct {
	md atomic.Pointer[map[string]string]
}

func (b *bundle) UpdateAuthToken(token string) {
	if token == "" {
		b.md.Store(nil)
		return
	}
	b.md.Store(&map[string]string{rpctypes.TokenFieldNameGRPC: token})
}

func (b *bundle) PerRPCCredentials() grpccredentials.PerRPCCredentials { return b }

// GetRequestMetadata implements gRPC's interface.
func (b *bundle) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if md := b.md.Load(); md != nil {
		return *md, nil
	}
	return nil, nil
}

// RequireTransportSecurity implements gRPC's interface.
func (b *bundle) RequireTransportSecurity() bool { return false }
