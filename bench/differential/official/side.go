//go:generate go run ../generate

package official

import (
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// cached: the official client has no cache; our cache is compared with the client itself.
func (r *runner) cached(*clientv3.Client, string) error { return nil }

// unsupported: the wrappers refuse GetStream, and the server refuses options that a cache
// supports.
func (r *runner) unsupported(err error) bool {
	return r.wrapped && err != nil && status.Code(err) == codes.Unimplemented
}

// current: without a cache no read is old.
func (r *runner) current() error { return nil }
