package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }

// open makes a cache that is ready and ends with the test.
func open(t testing.TB, c *clientv3.Client, prefixes []string, opts ...cache.Option) *cache.Cache {
	t.Helper()
	ca, err := cache.New(c, prefixes, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ca.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := ca.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	return ca
}

func put(t testing.TB, kv clientv3.KV, key, value string) int64 {
	t.Helper()
	r, err := kv.Put(within(t), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func remove(t testing.TB, kv clientv3.KV, key string) int64 {
	t.Helper()
	r, err := kv.Delete(within(t), key)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func value(t testing.TB, kv clientv3.KV, key string, opts ...clientv3.OpOption) string {
	t.Helper()
	r, err := kv.Get(within(t), key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

// TestReadYourWrites hands a cache to code that takes the interfaces.
func TestReadYourWrites(t *testing.T) {
	c := clienttest.Shared(t)
	ca := open(t, c, []string{t.Name() + "/a/", t.Name() + "/b/"})
	var kv clientv3.KV = ca
	for i := range 20 {
		want := fmt.Sprint(i)
		put(t, kv, t.Name()+"/a/key", want)
		put(t, kv, t.Name()+"/elsewhere", want) // so that progress is needed
		if got := value(t, kv, t.Name()+"/a/key"); got != want {
			t.Fatalf("read %q after writing %q", got, want)
		}
		if got := value(t, kv, t.Name()+"/elsewhere"); got != want {
			t.Fatalf("outside of the prefixes: %q after writing %q", got, want)
		}
	}
	remove(t, kv, t.Name()+"/a/key")
	if got := value(t, kv, t.Name()+"/a/key"); got != "" {
		t.Fatalf("read %q after deleting", got)
	}
}

// TestGetLikeEtcd compares answers with those of the server.
func TestGetLikeEtcd(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	var revs []int64
	for i := range 30 {
		revs = append(revs, put(t, c, fmt.Sprintf("%s%02d", p, (i*7)%20), fmt.Sprint((i*13)%10)))
	}
	remove(t, c, p+"03")
	put(t, c, p+"07", "")
	lease, err := c.Grant(within(t), 600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(within(t), p+"05", "5", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	ca := open(t, c, []string{p})
	end := clientv3.GetPrefixRangeEnd(p)
	type req struct {
		key  string
		opts []clientv3.OpOption
	}
	ranges := []req{
		{p + "05", nil}, {p + "03", nil}, {p + "nothing", nil}, {p, []clientv3.OpOption{clientv3.WithPrefix()}},
		{
			p + "1",
			[]clientv3.OpOption{clientv3.WithPrefix()},
		}, {p + "02", []clientv3.OpOption{clientv3.WithRange(p + "11")}},
		{
			p + "07",
			[]clientv3.OpOption{clientv3.WithRange(end)},
		}, {p + "9", []clientv3.OpOption{clientv3.WithRange(p + "1")}},
	}
	// Keys without their values, but with their leases. Not of ranges: the server may have those of
	// the same value in any order.
	for _, order := range []clientv3.SortOrder{clientv3.SortNone, clientv3.SortDescend} {
		ranges = append(ranges,
			req{p + "05", []clientv3.OpOption{clientv3.WithSort(clientv3.SortByValue, order), clientv3.WithKeysOnly()}})
	}
	variants := [][]clientv3.OpOption{
		nil, {clientv3.WithLimit(3)}, {clientv3.WithLimit(100)}, {clientv3.WithKeysOnly()}, {clientv3.WithCountOnly()},
		{clientv3.WithMinModRev(revs[15])}, {clientv3.WithMaxModRev(revs[15]), clientv3.WithLimit(2)},
		{clientv3.WithMinCreateRev(revs[4]), clientv3.WithMaxCreateRev(revs[12])},
		{clientv3.WithCountOnly(), clientv3.WithMinModRev(revs[15])},
		{clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(4)},
		{clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend)},
		{clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend), clientv3.WithLimit(1)},
		{clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortNone)},
		{clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortNone), clientv3.WithLimit(2)},
		{
			clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortNone),
			clientv3.WithLimit(2),
			clientv3.WithMinModRev(1),
		},
		{clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend), clientv3.WithKeysOnly()},
	}
	for _, r := range ranges {
		for i, v := range variants {
			opts := append(append([]clientv3.OpOption{}, r.opts...), v...)
			want, err := c.Get(within(t), r.key, opts...)
			if err != nil {
				t.Fatal(err)
			}
			for _, more := range [][]clientv3.OpOption{nil, {clientv3.WithSerializable()}} {
				got, err := ca.Get(within(t), r.key, append(append([]clientv3.OpOption{}, opts...), more...)...)
				if err != nil {
					t.Fatal(err)
				}
				if g, w := describe(got), describe(want); g != w {
					t.Errorf("%s, variant %d: %s, not %s", r.key, i, g, w)
				}
			}
			stream, err := ca.GetStream(within(t), r.key, opts...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := clientv3.GetStreamToGetResponse(stream)
			if err != nil || describe(got) != describe(want) {
				t.Errorf("%s, variant %d, streamed: %s, %v", r.key, i, describe(got), err)
			}
			done, err := ca.Do(within(t), clientv3.OpGet(r.key, opts...))
			if err != nil || describe(done.Get()) != describe(want) {
				t.Errorf("%s, variant %d, Do: %s, %v", r.key, i, describe(done.Get()), err)
			}
		}
	}
}

func describe(r *clientv3.GetResponse) string {
	s := fmt.Sprintf("count %d, more %v, revision %d, nil %v:", r.Count, r.More, r.Header.Revision, r.Kvs == nil)
	for _, kv := range r.Kvs {
		s += fmt.Sprintf(
			" %s=%q(%d,%d,%d,%d)",
			kv.Key,
			kv.Value,
			kv.CreateRevision,
			kv.ModRevision,
			kv.Version,
			kv.Lease,
		)
		if kv.Value == nil {
			s += "nil"
		}
	}
	return s
}

func TestBadInput(t *testing.T) {
	c := clienttest.Shared(t)
	for _, prefixes := range [][]string{nil, {"a", "a"}, {"ab", "b", "a"}, {"", "a"}} {
		if _, err := cache.New(c, prefixes); clientv3.Code(err) != codes.InvalidArgument {
			t.Errorf("New(%q): %v", prefixes, err)
		}
	}
	if _, err := cache.New(nil, []string{"a"}); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("New without a client: %v", err)
	}
	for name, o := range map[string]cache.Option{
		"a nil option":       nil,
		"a history of none":  cache.WithHistory(0, 1<<20),
		"a history below 0":  cache.WithHistory(-1, 1<<20),
		"a history in none":  cache.WithHistory(10, 0),
		"a KV alone":         cache.WithSource(c, nil),
		"a Watcher alone":    cache.WithSource(nil, c),
		"a source of nobody": cache.WithSource(nil, nil),
	} {
		if _, err := cache.New(c, []string{"a"}, o); clientv3.Code(err) != codes.InvalidArgument {
			t.Errorf("New with %s: %v", name, err)
		}
	}
	ca := open(t, c, []string{t.Name()})
	for name, opts := range map[string][]clientv3.OpOption{
		"prefix and from key": {clientv3.WithPrefix(), clientv3.WithFromKey()},
		"sort":                {clientv3.WithSort(17, 4)},
	} {
		_, err := ca.Get(within(t), t.Name(), opts...)
		_, same := c.Get(within(t), t.Name(), opts...)
		if clientv3.Code(err) != codes.InvalidArgument || err.Error() != same.Error() {
			t.Errorf("%s: %v, not %v", name, err, same)
		}
	}
	if _, err := ca.Get(within(t), ""); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("an empty key: %v", err)
	}
	var none context.Context
	if _, err := ca.Get(none, t.Name()); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("no context: %v", err)
	}
	r := clienttest.Receive(t, "no context", ca.Watch(none, t.Name()))
	if clientv3.Code(r.Err()) != codes.InvalidArgument {
		t.Errorf("a watch without a context: %v", r.Err())
	}
	r = clienttest.Receive(t, "limit", ca.Watch(within(t), t.Name(), clientv3.WithLimit(1)))
	if clientv3.Code(r.Err()) != codes.InvalidArgument {
		t.Errorf("a watch with a limit: %v", r.Err())
	}
}

func TestCallsEndWithTheirContexts(t *testing.T) {
	c := clienttest.Shared(t)
	ca := open(t, c, []string{t.Name()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ca.Get(ctx, t.Name()); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := ca.Get(ctx, t.Name(), clientv3.WithSerializable()); !errors.Is(err, context.Canceled) {
		t.Errorf("serializable: %v", err)
	}
}

func TestCloseEndsWatchesAndCalls(t *testing.T) {
	c := clienttest.Shared(t)
	ca := open(t, c, []string{t.Name()})
	w := ca.Watch(within(t), t.Name(), clientv3.WithPrefix())
	if err := ca.Close(); err != nil {
		t.Fatal(err)
	}
	if r, open := <-w; open {
		t.Errorf("a response at the end: %v", r)
	}
	if _, err := ca.Get(within(t), t.Name()); !errors.Is(err, clientv3.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	r := clienttest.Receive(t, "a watch after Close", ca.Watch(within(t), t.Name()))
	if err := r.Err(); !errors.Is(err, clientv3.ErrClosed) {
		t.Errorf("Watch: %v", err)
	}
	if err := ca.WaitReady(within(t)); !errors.Is(err, clientv3.ErrClosed) {
		t.Errorf("WaitReady: %v", err)
	}
	if err := ca.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

func TestSnapshot(t *testing.T) {
	c := clienttest.Shared(t)
	a, b := t.Name()+"/a/", t.Name()+"/b/"
	for i := range 5 {
		put(t, c, fmt.Sprint(a, i), "old")
		put(t, c, fmt.Sprint(b, i), "old")
	}
	ca := open(t, c, []string{b, a})
	s, err := ca.Sync(within(t))
	if err != nil {
		t.Fatal(err)
	}
	rev := put(t, ca, a+"2", "new")
	later, err := ca.Sync(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 10 || string(s.Get(a+"2").Value) != "old" || s.Get(a+"9") != nil || s.Get("elsewhere") != nil {
		t.Errorf("the snapshot has %d keys and %v", s.Len(), s.Get(a+"2"))
	}
	if later.Revision() < rev || later.RevisionOf(a) < rev || string(later.Get(a+"2").Value) != "new" ||
		later.RevisionOf("elsewhere") != 0 {
		t.Errorf("the later one has revision %d and %v", later.Revision(), later.Get(a+"2"))
	}
	var keys []string
	for key := range s.Range(a+"3", b+"2") {
		keys = append(keys, key[len(t.Name()):])
	}
	if fmt.Sprint(keys) != "[/a/3 /a/4 /b/0 /b/1]" {
		t.Errorf("range: %v", keys)
	}
	n := 0
	for range s.All() {
		if n++; n == 7 {
			break
		}
	}
	if n != 7 {
		t.Errorf("%d keys", n)
	}
}

func TestStates(t *testing.T) {
	c := clienttest.Shared(t)
	put(t, c, t.Name(), "v")
	ca := open(t, c, []string{t.Name()})
	clienttest.Await(t, "connected", func() bool { return ca.States()[0].Connected })
	s := ca.States()[0]
	if s.Prefix != t.Name() || !s.Ready || s.Keys != 1 || s.Revision == 0 || s.Err != nil || s.Lists != 1 ||
		s.Resets != 0 ||
		s.Age > 10*time.Second {
		t.Errorf("%+v", s)
	}
	if age, ok := ca.Age(); !ok || age > 10*time.Second {
		t.Errorf("age %v, %v", age, ok)
	}
}

// TestClientOfANamespace: the cache would hold other keys than those that its client shows.
func TestClientOfANamespace(t *testing.T) {
	c := clienttest.Dial(t, clienttest.Shared(t).Endpoints()...)
	direct := clientv3.NewKV(c)
	c.KV = namespace.NewKV(c.KV, "ns/")
	c.Watcher = namespace.NewWatcher(c.Watcher, "ns/")
	if _, err := cache.New(c, []string{"a", t.Name()}); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("New: %v", err)
	}
	put(t, c, t.Name(), "v")
	ca := open(t, c, []string{t.Name()}, cache.WithSource(c.KV, c.Watcher))
	if r, err := ca.Get(within(t), t.Name()); err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "v" {
		t.Errorf("a cache of the namespace has %v, %v", r, err)
	}
	c.KV = direct
	c.KV = open(t, c, []string{t.Name()}) // a second one of the same client reads past the first
	open(t, c, []string{t.Name() + "/more"})
}
