package console

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
)

// askedTogether is how many keys a transaction asks about: etcd allows 128 operations.
const askedTogether = 100

// leased reports which keys have a lease now. Before etcd 3.7 a listing of keys says so; 3.7 leaves
// it out like the values. A comparison needs no value, and no permission that the listing did not.
func leased(ctx context.Context, kv clientv3.KV, keys [][]byte) ([]bool, error) {
	var has []bool
	for len(keys) > 0 {
		n := min(len(keys), askedTogether)
		ops := make([]clientv3.Op, n)
		for i, key := range keys[:n] {
			ops[i] = clientv3.OpTxn(
				[]clientv3.Cmp{clientv3.Compare(clientv3.LeaseValue(string(key)), "!=", 0)}, nil, nil)
		}
		r, err := kv.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return nil, err
		}
		for _, one := range r.Responses {
			has = append(has, one.GetResponseTxn().GetSucceeded())
		}
		keys = keys[n:]
	}
	return has, nil
}
