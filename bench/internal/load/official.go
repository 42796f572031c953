package load

import (
	official "go.etcd.io/etcd/client/v3"

	ours "github.com/fairlead-go/fairlead/clientv3"
)

// The drop-in module has the official client's path. With it everything here would compare our
// client with itself. In that case the two cases below are one type, and this does not compile.
var _ = func(client any) {
	switch client.(type) {
	case *official.Client:
	case *ours.Client:
	}
}
