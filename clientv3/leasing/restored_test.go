package leasing_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A backup has the leasing key of an owner, and an older value than the owner has written since. It
// is restored, to lower revisions or to higher ones by the time the owner is connected again. The
// owner notices, and owns the key in the new history.
func TestOwnerOverARestore(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"lower", "higher"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			s := leased(t, cluster.Endpoints(), "L/", concurrency.WithTTL(60))
			s.put(t, "k", "old")
			s.put(t, "in a transaction", "old")
			s.owns(t, "k")
			s.owns(t, "in a transaction")
			backup := clienttest.Backup(t, cluster)
			is := func(value string) clientv3.Cmp {
				return clientv3.Compare(clientv3.Value("in a transaction"), "=", value)
			}
			txn := func() (r *clientv3.TxnResponse) {
				r, err := s.Txn(within(t)).If(is("old")).Then(clientv3.OpGet("in a transaction")).Commit()
				clienttest.OK(t, "Commit", err)
				return r
			}
			for i := range 20 {
				s.put(t, "k", fmt.Sprint("new", i))
				s.put(t, "in a transaction", "new")
			}
			s.owns(t, "k")
			s.owns(t, "in a transaction")
			if name == "lower" {
				proxy := cluster.Members()[0].Proxy()
				proxy.Cut()
				clienttest.PutBack(t, cluster, backup)
				clienttest.OK(t, "Heal", proxy.Heal())
			} else {
				clienttest.Restore(t, cluster, backup, nil)
			}
			began := time.Now()
			clienttest.Await(t, "the value of the backup", func() bool { return s.get(t, "k") == "old" })
			t.Logf("noticed %v after the network was back", time.Since(began))
			if !txn().Succeeded {
				t.Error("a transaction finds the value that is lost")
			}
			s.owns(t, "k")
			s.owns(t, "in a transaction")
			direct := []string{cluster.Members()[0].Direct}
			b := leased(t, direct, "L/")
			r, err := s.Get(within(t), "k")
			clienttest.OK(t, "Get", err)
			etcd, err := dial(t, direct).Get(within(t), "elsewhere")
			clienttest.OK(t, "Get", err)
			if r.Header.Revision > etcd.Header.Revision {
				t.Errorf("from memory: revision %d, etcd is at %d", r.Header.Revision, etcd.Header.Revision)
			}
			for i := range 3 {
				value := fmt.Sprint("newer", i)
				b.put(t, "k", value)
				if got := s.get(t, "k"); got != value {
					t.Errorf("read %q after %q was written", got, value)
				}
				s.owns(t, "k")
			}
		})
	}
}

// An owner that is asked for a key in a restored etcd, before it is connected again, gives the key
// up, although its watch has come to higher revisions and its newest leasing key is unchanged.
func TestAskedBackInARestore(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	member := cluster.Members()[0]
	a := leased(t, cluster.Endpoints(), "L/", concurrency.WithTTL(60))
	a.put(t, "k", "old")
	a.owns(t, "k")
	a.owns(t, "newest")
	backup := clienttest.Backup(t, cluster)
	for i := range 50 {
		a.put(t, "elsewhere", fmt.Sprint(i))
	}
	lists := a.calls.lists.Load()
	member.Proxy().Reset()
	clienttest.Await(t, "a new list of leasing keys", func() bool { return a.calls.lists.Load() > lists })
	member.Proxy().Cut()
	clienttest.PutBack(t, cluster, backup)
	raw := dial(t, []string{member.Direct})
	b := leased(t, []string{member.Direct}, "L/")
	done := make(chan error, 1)
	go func() {
		_, err := b.Put(within(t), "k", "new")
		done <- err
	}()
	clienttest.Await(t, "the other one asks", func() bool {
		r, err := raw.Get(within(t), "L/k")
		return err == nil && len(r.Kvs) == 1 && string(r.Kvs[0].Value) == "REVOKE"
	})
	for i := range 100 {
		_, err := raw.Put(within(t), "besides", fmt.Sprint(i))
		clienttest.OK(t, "Put", err)
	}
	clienttest.OK(t, "Heal", member.Proxy().Heal())
	clienttest.OK(t, "the write of another", clienttest.Receive(t, "the write of another", done))
	if got := a.get(t, "k"); got != "new" {
		t.Errorf("read %q", got)
	}
}

// simple is a Lease that does not count its streams, as one over etcd's proxy has too few of them.
type simple struct{ clientv3.Lease }

func (s simple) ValidUntil(id clientv3.LeaseID) (time.Time, bool) {
	return clientv3.LeaseValidUntil(s.Lease, id)
}

// Any answer of a lower revision is a sign of a restored etcd.
func TestAnswersTellOfARestore(t *testing.T) {
	t.Parallel()
	for _, sign := range []string{"a read", "a write", "a renewal"} {
		t.Run(sign, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			s := &side{cl: dial(t, cluster.Endpoints())}
			s.calls = &counter{KV: s.cl.KV}
			s.cl.KV, s.cl.Lease = s.calls, simple{s.cl.Lease}
			ttl := 60
			if sign == "a renewal" {
				ttl = 3
			}
			var err error
			s.KV, s.close, err = leasing.NewKV(s.cl, "L/", concurrency.WithTTL(ttl))
			clienttest.OK(t, "NewKV", err)
			t.Cleanup(s.close)
			s.put(t, "k", "old")
			s.owns(t, "k")
			backup := clienttest.Backup(t, cluster)
			for range 20 {
				s.put(t, "k", "new")
			}
			s.owns(t, "k")
			clienttest.PutBack(t, cluster, backup)
			switch sign {
			case "a read":
				s.get(t, "elsewhere")
			case "a write":
				s.put(t, "elsewhere", "")
			default:
				clienttest.Await(t, "a renewal", func() bool { return s.get(t, "k") == "old" })
			}
			if got := s.get(t, "k"); got != "old" {
				t.Errorf("read %q after %s", got, sign)
			}
		})
	}
}
