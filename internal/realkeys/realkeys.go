// Package realkeys finds out what etcd calls the keys of a client. Between the two there may be
// wrappers that give keys other names, as those of package namespace do, in any order and of
// anybody's making.
//
// The question travels in a context, as a read that all wrappers translate and pass on. Our client
// answers instead of sending it, and ends the context: to the wrappers it is a call whose caller
// has left. So no permission is needed, and no wrapper has to know of this.
package realkeys

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/retry"
)

// Of returns etcd's name of a key of kv, or of the prefix of keys. If that cannot be known, since
// kv is nothing of ours or forgets the context, it is the name that kv has.
func Of(ctx context.Context, kv clientv3.KV, name string) string {
	const last = "x" // a prefix may be empty, a key not
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var first atomic.Pointer[string] // a wrapper may read twice
	ctx = retry.WithNames(ctx, func(key []byte) {
		real := string(key)
		first.CompareAndSwap(nil, &real)
		cancel()
	})
	// An old range, since wrappers may answer all else from memory; and a small one, since a client
	// that is not ours sends it.
	_, _ = kv.Get(ctx, name+last, clientv3.WithRange(name+last+"\x00"),
		clientv3.WithRev(1), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if real := first.Load(); real != nil {
		if short, ok := strings.CutSuffix(*real, last); ok {
			return short
		}
	}
	return name
}
