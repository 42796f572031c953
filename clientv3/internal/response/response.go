// Package response has helpers that read responses of any kind, for the wrappers of a KV.
package response

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Header returns the header of a response of any kind; nil if it has none.
func Header(r clientv3.OpResponse) *pb.ResponseHeader {
	switch {
	case r.Get() != nil:
		return r.Get().Header
	case r.Put() != nil:
		return r.Put().Header
	case r.Del() != nil:
		return r.Del().Header
	case r.Txn() != nil:
		return r.Txn().Header
	}
	return nil
}
