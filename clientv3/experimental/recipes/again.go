package recipe

import (
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// lookAgain reports whether a watch ended because its revision was compacted. The caller then reads
// the keys again.
func lookAgain(err error) bool { return clientv3.SameError(err, rpctypes.ErrCompacted) }
