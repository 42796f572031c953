package leasing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/clientv3/ordering"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestOwnerReadsFromMemory: the first read takes ownership. Then reads need no call and writes one,
// and reads find the last write.
func TestOwnerReadsFromMemory(t *testing.T) {
	raw := shared(t)
	s := leased(t, etcdtest.Shared(t).Endpoints(), "L-"+t.Name()+"/")
	key := t.Name()
	want := func(value string) {
		t.Helper()
		if !s.local(func() {
			if got := s.get(t, key); got != value {
				t.Errorf("read %q, want %q", got, value)
			}
		}) {
			t.Error("a read asked the cluster")
		}
		r, err := raw.Get(within(t), key)
		if err != nil {
			t.Fatal(err)
		}
		cached, err := s.Get(within(t), key)
		if err != nil {
			t.Fatal(err)
		}
		cached.Header.Revision, cached.Header.MemberId = r.Header.Revision, r.Header.MemberId
		if !proto.Equal((*pb.RangeResponse)(cached), (*pb.RangeResponse)(r)) {
			t.Errorf("from memory %v\nthe cluster has %v", (*pb.RangeResponse)(cached), (*pb.RangeResponse)(r))
		}
	}
	if got := s.get(t, key); got != "" {
		t.Errorf("an absent key is %q", got)
	}
	want("")
	for i, value := range []string{"1", "2", ""} {
		before := s.calls.n.Load()
		r, err := s.Put(within(t), key, value, clientv3.WithPrevKV())
		if err != nil || (r.PrevKv == nil) != (i == 0) || r.Header.GetClusterId() == 0 {
			t.Fatalf("%v, %v", r, err)
		}
		if n := s.calls.n.Load() - before; n != 1 {
			t.Errorf("a put by the owner took %d calls", n)
		}
		want(value)
	}
	s.put(t, key, "3")
	s.put(t, key, "", clientv3.WithIgnoreValue())
	want("3")
	d, err := s.Delete(within(t), key, clientv3.WithPrevKV())
	if err != nil || d.Deleted != 1 || string(d.PrevKvs[0].Value) != "3" || d.Header.GetClusterId() == 0 {
		t.Fatalf("%v, %v", d, err)
	}
	want("")
	tx, err := s.Txn(within(t)).If(clientv3.Compare(clientv3.Version(key), "=", 0)).
		Then(clientv3.OpPut(key, "4"), clientv3.OpGet(key)).Commit()
	if err != nil || !tx.Succeeded || len(tx.Responses) != 2 ||
		string(tx.Responses[1].GetResponseRange().Kvs[0].Value) != "4" {
		t.Fatalf("%v, %v", tx, err)
	}
	want("4")
	if _, err := s.Put(within(t), key, "5", clientv3.WithLease(12345)); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("put with a lease that does not exist: %v", err)
	}
	want("4")
}

// TestTwoSidesSeeEachOthersWritesAtOnce: each side sees the other's writes at once, whichever owns
// the key.
func TestTwoSidesSeeEachOthersWritesAtOnce(t *testing.T) {
	shared(t)
	var sides [2]*side
	for i := range sides {
		sides[i] = leased(t, etcdtest.Shared(t).Endpoints(), "L-"+t.Name()+"/")
	}
	key := t.Name()
	for i := range 20 {
		owner, writer := sides[i%2], sides[(i/2)%2]
		if i == 0 {
			owner.owns(t, key)
		} else {
			owner.get(t, key)
		}
		value := fmt.Sprint(i)
		switch i % 3 {
		case 0:
			writer.put(t, key, value)
		case 1:
			if _, err := writer.Txn(within(t)).Then(clientv3.OpPut(key, value)).Commit(); err != nil {
				t.Fatal(err)
			}
		case 2:
			value = ""
			if _, err := writer.Delete(within(t), t.Name(), clientv3.WithPrefix()); err != nil {
				t.Fatal(err)
			}
		}
		for j, s := range sides {
			if got := s.get(t, key); got != value {
				t.Errorf("round %d: side %d reads %q, want %q", i, j, got, value)
			}
		}
	}
}

// TestAWriteAsksTheOwner: an owner reads what another side has just written. In
// TestTwoSidesSeeEachOthersWritesAtOnce the sides change so often that mostly no side may take
// ownership.
func TestAWriteAsksTheOwner(t *testing.T) {
	shared(t)
	pfx := "L-" + t.Name() + "/"
	owner := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	writer := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	for name, test := range map[string]struct {
		write func(key string) clientv3.Op
		want  string
	}{
		"put":    {func(key string) clientv3.Op { return clientv3.OpPut(key, "new") }, "new"},
		"delete": {func(key string) clientv3.Op { return clientv3.OpDelete(key) }, ""},
		"transaction": {func(key string) clientv3.Op {
			return clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(key, "new")}, nil)
		}, "new"},
		"otherwise": {func(key string) clientv3.Op {
			never := []clientv3.Cmp{clientv3.Compare(clientv3.Version(key), "<", 0)}
			return clientv3.OpTxn(never, nil, []clientv3.Op{clientv3.OpPut(key, "new")})
		}, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			key := strings.ReplaceAll(t.Name(), "/", "-")
			owner.put(t, key, "old")
			owner.owns(t, key)
			if _, err := writer.Do(within(t), test.write(key)); err != nil {
				t.Fatal(err)
			}
			if got := owner.get(t, key); got != test.want {
				t.Errorf("after %q was written the owner reads %q", test.want, got)
			}
		})
	}
}

// TestManyKeysOfAnother: more than fit into one transaction, with a range and with a
// transaction in each direction.
func TestManyKeysOfAnother(t *testing.T) {
	const n = 120 // the server takes 128 operations
	raw := shared(t)
	pfx := "L-" + t.Name() + "/"
	a := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	b := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s/%03d", t.Name(), i)
		a.owns(t, keys[i])
	}
	all := func(value string, n int) (list []clientv3.Op) {
		for _, key := range keys[:n] {
			list = append(list, clientv3.OpPut(key, value))
		}
		return list
	}
	check := func(what, value string, n int) {
		t.Helper()
		for _, key := range keys[:n] {
			for i, s := range []*side{a, b} {
				// An owned key is read from memory, and a serializable read does not take
				// ownership.
				r, err := s.Get(within(t), key, clientv3.WithSerializable())
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				if len(r.Kvs) > 0 {
					got = string(r.Kvs[0].Value)
				}
				if got != value {
					t.Fatalf("%s: %s is %q for side %d, want %q", what, key, got, i, value)
				}
			}
		}
	}
	if _, err := b.Txn(within(t)).Then(all("b", n)...).Commit(); err != nil {
		t.Fatal(err)
	}
	check("transaction", "b", n)
	for _, key := range keys[:60] {
		a.owns(t, key)
	}
	// A transaction with a condition has to be nested.
	if _, err := b.Txn(within(t)).If(clientv3.Compare(clientv3.Version(keys[0]), ">", 0)).Then(all("b2",
		60)...).Commit(); err != nil {
		t.Fatal(err)
	}
	check("nested transaction", "b2", 60)
	for _, key := range keys {
		a.owns(t, key)
	}
	if _, err := a.Txn(within(t)).Then(all("own", n)...).Commit(); err != nil { // too many to read back
		t.Fatal(err)
	}
	check("by the owner", "own", n)
	for i, s := range []*side{a, b} { // the first side deletes its own keys
		a.owns(t, keys[0])
		a.owns(t, keys[n-1])
		r, err := s.Delete(within(t), t.Name()+"/", clientv3.WithPrefix())
		if err != nil || r.Deleted != int64(n*(1-i)) {
			t.Fatalf("%v, %v", r, err)
		}
		check("range", "", n)
	}
	// Delete all leasing keys, and all keys behind them.
	a.owns(t, keys[0])
	if _, err := b.Delete(within(t), "L-"+t.Name(), clientv3.WithFromKey()); err != nil {
		t.Fatal(err)
	}
	if r, err := raw.Get(within(t), pfx, clientv3.WithPrefix()); err != nil || len(r.Kvs) != 0 {
		t.Errorf("leasing keys that are left: %v, %v", r, err)
	}
}

// TestWantEachOthersKeys: two sides that write each other's keys, again and again, both go on.
func TestWantEachOthersKeys(t *testing.T) {
	shared(t)
	pfx := "L-" + t.Name() + "/"
	var wg sync.WaitGroup
	ctx := within(t)
	for i := range 2 {
		s := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
		own, other := fmt.Sprint(t.Name(), i), fmt.Sprint(t.Name(), 1-i)
		wg.Go(func() {
			for n := range 30 {
				if _, err := s.Get(ctx, own); err != nil {
					t.Error(err)
				}
				_, err := s.Txn(ctx).Then(clientv3.OpPut(own, "x"), clientv3.OpPut(other, fmt.Sprint(n))).Commit()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestLeasedKeysAreNotOwned: a key with a lease may be deleted without a write, so nobody owns it.
func TestLeasedKeysAreNotOwned(t *testing.T) {
	raw := shared(t)
	s := leased(t, etcdtest.Shared(t).Endpoints(), "L-"+t.Name()+"/")
	key := t.Name()
	s.owns(t, key)
	g, err := raw.Grant(within(t), 60)
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, key, "leased", clientv3.WithLease(g.ID))
	for range 3 {
		if s.local(func() { s.get(t, key) }) {
			t.Error("a key with a lease was read from memory")
		}
	}
	// A key without its value has its lease if a server would send it.
	for name, opts := range map[string][]clientv3.OpOption{
		"keys": {clientv3.WithKeysOnly()},
		"keys, sorted by their values": {clientv3.WithKeysOnly(), clientv3.WithSort(clientv3.SortByValue,
			clientv3.SortDescend)},
		"keys, by their values unsorted": {clientv3.WithKeysOnly(), clientv3.WithSort(clientv3.SortByValue,
			clientv3.SortNone)},
		"keys, sorted by revision": {clientv3.WithKeysOnly(), clientv3.WithSort(clientv3.SortByModRevision,
			clientv3.SortAscend)},
	} {
		got, err := s.Get(within(t), key, opts...)
		if err != nil {
			t.Fatal(err)
		}
		want, err := raw.Get(within(t), key, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got.Kvs[0], want.Kvs[0]) {
			t.Errorf("%s: %v, want %v", name, got.Kvs[0], want.Kvs[0])
		}
	}
	if _, err := raw.Revoke(within(t), g.ID); err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, key); got != "" {
		t.Errorf("its lease was revoked, and it is %q", got)
	}
	s.owns(t, key)
}

// TestAnswersFromMemoryAreNotOld: answers from memory carry the newest revision of any answer, so
// that ordering around the KV does not doubt them.
func TestAnswersFromMemoryAreNotOld(t *testing.T) {
	raw := shared(t)
	s := leased(t, etcdtest.Shared(t).Endpoints(), "L-"+t.Name()+"/")
	owned := t.Name() + "owned"
	elsewhere := func() {
		if _, err := raw.Put(within(t), t.Name()+"elsewhere", ""); err != nil {
			t.Fatal(err)
		}
	}
	s.owns(t, owned)
	ordered := ordering.NewKV(s.KV,
		func(clientv3.Op, clientv3.OpResponse, int64) error { return ordering.ErrNoGreaterRev })
	for name, call := range map[string]func() (*pb.ResponseHeader, error){
		"a put": func() (*pb.ResponseHeader, error) {
			r, err := ordered.Put(within(t), t.Name()+"other", "v")
			return (*pb.PutResponse)(r).GetHeader(), err
		},
		"a range": func() (*pb.ResponseHeader, error) {
			elsewhere()
			r, err := ordered.Get(within(t), t.Name(), clientv3.WithPrefix())
			return (*pb.RangeResponse)(r).GetHeader(), err
		},
		"a transaction": func() (*pb.ResponseHeader, error) {
			elsewhere()
			r, err := ordered.Txn(within(t)).Then(clientv3.OpGet(t.Name(), clientv3.WithPrefix())).Commit()
			return (*pb.TxnResponse)(r).GetHeader(), err
		},
	} {
		h, err := call()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		local := s.local(func() {
			r, err := ordered.Get(within(t), owned)
			if err != nil || r.Header.Revision < h.Revision {
				t.Errorf("after %s at %d: %v, %v", name, h.Revision, r, err)
			}
		})
		if !local {
			t.Errorf("after %s it is not answered from memory", name)
		}
	}
}

// TestReadsWithOptionsComeFromMemory: reads of an owned key with any options are answered from
// memory as the cluster would. Only a revision, a range and a mistake need the cluster.
func TestReadsWithOptionsComeFromMemory(t *testing.T) {
	raw := shared(t)
	s := leased(t, etcdtest.Shared(t).Endpoints(), "L-"+t.Name()+"/")
	there, absent := t.Name()+"there", t.Name()+"absent"
	s.put(t, there, "1")
	s.put(t, there, "2")
	s.owns(t, there)
	s.owns(t, absent)
	first, err := raw.Get(within(t), there)
	if err != nil {
		t.Fatal(err)
	}
	created, modified := first.Kvs[0].CreateRevision, first.Kvs[0].ModRevision
	type options = []clientv3.OpOption
	for name, c := range map[string]struct {
		local bool
		opts  options
	}{
		"none":            {true, nil},
		"keys only":       {true, options{clientv3.WithKeysOnly()}},
		"count only":      {true, options{clientv3.WithCountOnly()}},
		"limit":           {true, options{clientv3.WithLimit(1)}},
		"no limit":        {true, options{clientv3.WithLimit(-1)}},
		"serializable":    {true, options{clientv3.WithSerializable()}},
		"sorted":          {true, options{clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend)}},
		"min mod, in":     {true, options{clientv3.WithMinModRev(modified)}},
		"min mod, out":    {true, options{clientv3.WithMinModRev(modified + 1)}},
		"min mod, none":   {true, options{clientv3.WithMinModRev(-1)}},
		"max mod, in":     {true, options{clientv3.WithMaxModRev(modified)}},
		"max mod, out":    {true, options{clientv3.WithMaxModRev(modified - 1)}},
		"max mod, none":   {true, options{clientv3.WithMaxModRev(-1)}},
		"min create, in":  {true, options{clientv3.WithMinCreateRev(created)}},
		"min create, out": {true, options{clientv3.WithMinCreateRev(created + 1)}},
		"max create, in":  {true, options{clientv3.WithMaxCreateRev(created)}},
		"max create, out": {true, options{clientv3.WithMaxCreateRev(created - 1)}},
		"count, filtered": {true, options{clientv3.WithCountOnly(), clientv3.WithMinModRev(modified + 1)}},
		"several": {true, options{clientv3.WithKeysOnly(), clientv3.WithLimit(
			3), clientv3.WithMaxCreateRev(created), clientv3.WithSerializable()}},
		"negative":       {true, options{clientv3.WithRev(-1)}},
		"revision":       {false, options{clientv3.WithRev(created)}},
		"sorted by what": {false, options{clientv3.WithSort(99, clientv3.SortAscend)}},
		"prefix":         {false, options{clientv3.WithPrefix()}},
		"from key":       {false, options{clientv3.WithFromKey(), clientv3.WithLimit(1)}},
	} {
		for _, key := range []string{there, absent} {
			var got *clientv3.GetResponse
			var gotErr error
			local := s.local(func() { got, gotErr = s.Get(within(t), key, c.opts...) })
			if local != c.local {
				t.Errorf("%s: answered from memory: %v", name, local)
			}
			want, err := raw.Get(within(t), key, c.opts...)
			if !clientv3.SameError(gotErr, err) {
				t.Errorf("%s: %v, want %v", name, gotErr, err)
			}
			if err != nil {
				continue
			}
			got.Header, want.Header = nil, nil
			if !proto.Equal((*pb.RangeResponse)(got), (*pb.RangeResponse)(want)) {
				t.Errorf("%s: got %v, want %v", name, (*pb.RangeResponse)(got), (*pb.RangeResponse)(want))
			}
		}
	}
	// With any options the first read takes ownership, unless it is serializable.
	for name, opt := range map[string]clientv3.OpOption{
		"sorted": clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend), "min mod": clientv3.WithMinModRev(1),
		"keys":         clientv3.WithKeysOnly(),
		"serializable": clientv3.WithSerializable(),
	} {
		key := t.Name() + name
		for range 2 {
			if _, err := s.Get(within(t), key, opt); err != nil {
				t.Fatal(err)
			}
		}
		if local := s.local(func() { s.get(t, key) }); local != (name != "serializable") {
			t.Errorf("%s, then plain: answered from memory: %v", name, local)
		}
	}
	stream, err := s.GetStream(within(t), there)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := clientv3.GetStreamToGetResponse(stream); err != nil || len(r.Kvs) != 1 {
		t.Errorf("stream: %v, %v", r, err)
	}
	if _, err := s.Compact(within(t), 1<<60); err != rpctypes.ErrFutureRev {
		t.Errorf("compact: %v", err)
	}
}

func TestMistakesAreErrorsAndChangeNothing(t *testing.T) {
	raw := shared(t)
	pfx := "L-" + t.Name() + "/"
	s := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	ctx := within(t)
	key := t.Name()
	s.owns(t, key)
	if _, err := raw.Put(ctx, pfx+key+"foreign", "precious"); err != nil {
		t.Fatal(err)
	}
	before, err := raw.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	var none context.Context
	bad := clientv3.Compare(clientv3.Value(key), "~", "x")
	// As with the server, the branch that is not chosen has to be valid too.
	unchosen := func(ops ...clientv3.Op) func() error {
		return func() error {
			_, err := s.Txn(ctx).
				If(clientv3.Compare(clientv3.Value(key), "=", "never")).
				Then(ops...).
				Else(clientv3.OpGet(key)).
				Commit()
			return err
		}
	}
	many := slices.Repeat([]clientv3.Op{clientv3.OpGet(key)}, 129)
	for name, c := range map[string]struct {
		call func() error
		want error // nil: any
	}{
		"empty key":    {func() error { _, err := s.Put(ctx, "", ""); return err }, rpctypes.ErrEmptyKey},
		"empty read":   {func() error { _, err := s.Get(ctx, ""); return err }, rpctypes.ErrEmptyKey},
		"empty delete": {func() error { _, err := s.Delete(ctx, ""); return err }, rpctypes.ErrEmptyKey},
		"empty in txn": {func() error {
			_, err := s.Txn(ctx).Then(clientv3.OpPut("", "")).Commit()
			return err
		}, rpctypes.ErrEmptyKey},
		"twice": {func() error {
			_, err := s.Txn(ctx).Then(clientv3.OpPut(key, ""), clientv3.OpPut(key, "")).Commit()
			return err
		}, rpctypes.ErrDuplicateKey},
		"leasing key": {func() error { _, err := s.Put(ctx, pfx+key, "x"); return err }, leasing.ErrLeasingKey},
		"nested": {func() error {
			_, err := s.Txn(ctx).Then(clientv3.OpTxn(nil, nil, []clientv3.Op{clientv3.OpDelete(pfx)})).Commit()
			return err
		}, leasing.ErrLeasingKey},
		"foreign key": {
			func() error { _, err := s.Put(ctx, key+"foreign", "x"); return err }, leasing.ErrForeignKey,
		},
		"foreign range": {
			func() error { _, err := s.Delete(ctx, key+"f", clientv3.WithPrefix()); return err }, leasing.ErrForeignKey,
		},
		"nil context": {func() error { _, err := s.Put(none, key, "x"); return err }, nil},
		"nil read":    {func() error { _, err := s.Get(none, key); return err }, nil},
		"nil txn": {
			func() error { _, err := s.Txn(none).Then(clientv3.OpGet(key)).Commit(); return err }, nil,
		},
		"put a range": {
			func() error { _, err := s.Put(ctx, key, "x", clientv3.WithPrefix()); return err }, nil,
		},
		"watch":        {func() error { _, err := s.Do(ctx, clientv3.OpWatch(key)); return err }, nil},
		"no operation": {func() error { _, err := s.Do(ctx, clientv3.Op{}); return err }, nil},
		"order": {
			func() error { _, err := s.Txn(ctx).Then(clientv3.OpPut(key, "x")).If().Commit(); return err }, nil,
		},
		"twice else": {
			func() error { _, err := s.Txn(ctx).Else().Else(clientv3.OpGet(key)).Commit(); return err }, nil,
		},
		"comparison": {
			func() error { _, err := s.Txn(ctx).If(bad).Then(clientv3.OpPut(key, "x")).Commit(); return err }, nil,
		},
		"unchosen, twice": {
			unchosen(clientv3.OpPut(key, ""), clientv3.OpPut(key, "")), rpctypes.ErrDuplicateKey,
		},
		"unchosen, put and deleted": {
			unchosen(clientv3.OpPut(key, ""), clientv3.OpDelete(key)), rpctypes.ErrDuplicateKey,
		},
		"unchosen, nested and put": {unchosen(clientv3.OpTxn(nil, nil, []clientv3.Op{clientv3.OpPut(key, "")}),
			clientv3.OpPut(key, "")), rpctypes.ErrDuplicateKey},
		"unchosen, twice in a nested": {unchosen(clientv3.OpTxn(nil,
			[]clientv3.Op{clientv3.OpPut(key, ""), clientv3.OpPut(key, "")}, nil)), rpctypes.ErrDuplicateKey},
		"unchosen, empty key": {unchosen(clientv3.OpGet("")), rpctypes.ErrEmptyKey},
		"unchosen, empty put": {unchosen(clientv3.OpPut("", "")), rpctypes.ErrEmptyKey},
		"unchosen, empty comparison": {unchosen(clientv3.OpTxn([]clientv3.Cmp{
			clientv3.Compare(clientv3.Version(""), "=", 0),
		}, nil, nil)), rpctypes.ErrEmptyKey},
		"unchosen, a value to ignore": {
			unchosen(clientv3.OpPut(key, "x", clientv3.WithIgnoreValue())), rpctypes.ErrValueProvided,
		},
		"unchosen, a lease to ignore": {unchosen(clientv3.OpPut(key, "", clientv3.WithLease(5),
			clientv3.WithIgnoreLease())), rpctypes.ErrLeaseProvided},
		"unchosen, sorted by what": {unchosen(clientv3.OpGet(key, clientv3.WithSort(99, clientv3.SortAscend))), nil},
		"unchosen, too many":       {unchosen(many...), rpctypes.ErrTooManyOps},
		"in a read": {
			func() error { _, err := s.Txn(ctx).If(bad).Then(clientv3.OpGet(key)).Commit(); return err }, nil,
		},
	} {
		if err := c.call(); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if r, err := raw.Get(ctx, key); err != nil || r.Header.Revision != before.Header.Revision {
		t.Errorf("something was changed: %v, %v", r, err)
	}
	if _, _, err := leasing.NewKV(raw, ""); err != leasing.ErrNoPrefix {
		t.Errorf("no prefix: %v", err)
	}
}

// TestCloseFreesOwnedKeys: owned keys are free at once, calls fail, nothing is left running.
func TestCloseFreesOwnedKeys(t *testing.T) {
	raw := shared(t)
	pfx := "L-" + t.Name() + "/"
	if _, err := raw.Get(within(t), pfx); err != nil { // connects
		t.Fatal(err)
	}
	etcdtest.CheckLeaks(t)
	s := leased(t, etcdtest.Shared(t).Endpoints(), pfx)
	key := t.Name()
	s.owns(t, key)
	txn := s.Txn(within(t)).Then(clientv3.OpGet(key))
	// This write waits for an owner that does not give the key up.
	g, err := raw.Grant(within(t), 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Put(within(t), pfx+key+"2", "", clientv3.WithLease(g.ID)); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := s.Put(context.Background(), key+"2", "x")
		waiting <- err
	}()
	clienttest.Await(t, "the write asks", func() bool {
		r, err := raw.Get(within(t), pfx+key+"2")
		return err == nil && len(r.Kvs) == 1 && string(r.Kvs[0].Value) == "REVOKE"
	})
	s.close()
	s.close() // does no harm
	if err := <-waiting; err != leasing.ErrClosed {
		t.Errorf("a waiting write: %v", err)
	}
	if r, err := raw.Get(within(t), pfx+key); err != nil || len(r.Kvs) != 0 {
		t.Errorf("closed, and still owns: %v, %v", r, err)
	}
	ctx := within(t)
	for name, call := range map[string]func() error{
		"get":     func() error { _, err := s.Get(ctx, key); return err },
		"range":   func() error { _, err := s.Get(ctx, key, clientv3.WithPrefix()); return err },
		"stream":  func() error { _, err := s.GetStream(ctx, key); return err },
		"put":     func() error { _, err := s.Put(ctx, key, ""); return err },
		"delete":  func() error { _, err := s.Delete(ctx, key); return err },
		"txn":     func() error { _, err := txn.Commit(); return err },
		"do":      func() error { _, err := s.Do(ctx, clientv3.OpGet(key)); return err },
		"compact": func() error { _, err := s.Compact(ctx, 1); return err },
	} {
		if err := call(); err != leasing.ErrClosed {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.cl.Close()
}

// TestReplacesKV: the client's KV may be replaced by the leasing one.
func TestReplacesKV(t *testing.T) {
	cl := shared(t)
	kv, closeKV, err := leasing.NewKV(cl, "L-"+t.Name()+"/")
	if err != nil {
		t.Fatal(err)
	}
	defer closeKV()
	inner := cl.KV
	cl.KV = kv
	defer func() { cl.KV = inner }()
	if _, err := cl.Put(within(t), t.Name(), "x"); err != nil {
		t.Fatal(err)
	}
	if r, err := cl.Get(within(t), t.Name()); err != nil || len(r.Kvs) != 1 {
		t.Errorf("%v, %v", r, err)
	}
}
