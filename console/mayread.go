package console

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// etcd checks a user's permission to read only when a watch begins. Without further checks, pages
// would go on showing values to a user whose permission was revoked meanwhile.

// stillEvery is how often the permission to read followed keys is checked.
const stillEvery = 5 * time.Second

// mayRead returns the reason why the client's user may not read all keys of a prefix, nil if they
// may or if that cannot be found out now. It reads no key: it sends a transaction that does
// nothing, for which etcd checks the permissions all the same.
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
	case "PermissionDenied", "Unauthenticated", "InvalidArgument": // no permission, no token, no such user
		return err
	}
	return nil
}
