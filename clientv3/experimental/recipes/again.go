package recipe

import (
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// lookAgain reports that a watch ended only because it came too late: what it waits for
// can be read.
func lookAgain(err error) bool { return clientv3.SameError(err, rpctypes.ErrCompacted) }
