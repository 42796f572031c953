// Package clientv3util has comparisons with plain names, for the conditions of transactions:
//
//	cli.Txn(ctx).If(clientv3util.KeyMissing("lock")).Then(clientv3.OpPut("lock", me)).Commit()
//
// Its functions are safe for concurrent use.
package clientv3util

import "github.com/fairlead-go/fairlead/clientv3"

// KeyExists holds if the key exists.
func KeyExists(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(key), ">", 0)
}

// KeyMissing holds if the key does not exist.
func KeyMissing(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(key), "=", 0)
}
