// Package response is what the wrappers of a KV ask of its answers.
package response

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Header is that of an answer of any kind; nil if it has none.
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
