package console

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// etcd asks whether a user may read when a watch begins, and not again. What pages follow would go
// on showing values to somebody whose rights were taken away meanwhile.

// stillEvery is how often it is asked whether what is followed may still be read.
const stillEvery = 5 * time.Second

// mayRead is why all keys of a prefix may not be read by the client's user, nil if they may or if
// that is not known now. No key is read: it asks for a transaction that does nothing, for which
// etcd looks at the rights as for one that does.
func mayRead(ctx context.Context, kv clientv3.KV, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, stillEvery)
	defer cancel()
	begin, end := prefix, prefixEnd(prefix)
	if prefix == "" {
		begin, end = "\x00", "\x00"
	}
	never := clientv3.Compare(clientv3.Version(begin), "=", -1)
	_, err := kv.Txn(ctx).If(never).Then(clientv3.OpGet(begin, clientv3.WithRange(end), clientv3.WithLimit(1))).Commit()
	switch clientv3.Code(err).String() {
	case "PermissionDenied", "Unauthenticated", "InvalidArgument": // the user's, no token, no such user
		return err
	}
	return nil
}
