package realkeys_test

import (
	"context"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/realkeys"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// twice reads each range twice, and again until the caller has left.
type twice struct{ clientv3.KV }

func (k twice) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	_, err := k.KV.Get(ctx, key+"/first", opts...)
	for err != nil && ctx.Err() == nil {
		_, err = k.KV.Get(ctx, key, opts...)
	}
	return nil, err
}

// forgetful passes on another context.
type forgetful struct{ clientv3.KV }

func (f forgetful) Get(_ context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return f.KV.Get(context.Background(), key, opts...)
}

func TestOf(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, clienttest.Long)
	within := namespace.NewKV(namespace.NewKV(c.KV, "a/"), "b\xff")
	for _, name := range []string{"", "key", "\x00", "\xff\xfe/"} {
		for _, test := range []struct {
			kv   clientv3.KV
			want string
		}{
			{c.KV, name},
			{within, "a/b\xff" + name},
			{clientv3.NewKV(c), name},
			{forgetful{within}, name},
		} {
			if got := realkeys.Of(ctx, test.kv, name); got != test.want {
				t.Errorf("%T: %q is %q in etcd, not %q", test.kv, name, test.want, got)
			}
		}
	}
	if got := realkeys.Of(ctx, twice{within}, "key"); got != "key" { // the key is another one: not understood
		t.Errorf("%q", got)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if got := realkeys.Of(ended, within, "key"); got != "a/b\xffkey" {
		t.Errorf("%q", got)
	}
}
