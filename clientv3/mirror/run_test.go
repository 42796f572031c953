package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// oneCluster returns a client of the shared server, with which tests mirror one prefix
// to another.
func oneCluster(t *testing.T) (c *clientv3.Client, from, to string, opts []mirror.Option) {
	t.Helper()
	c = clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	from, to = t.Name()+"/from/", t.Name()+"/to/"
	mark := t.Name() + "/mark"
	t.Cleanup(func() { del(t, c, t.Name()+"/", clientv3.WithPrefix()) })
	return c, from, to, []mirror.Option{
		mirror.WithPrefix(from),
		mirror.WithTargetPrefix(to),
		mirror.WithCheckpoint(mark),
	}
}

func TestFollows(t *testing.T) {
	c, from, to, opts := oneCluster(t)
	for i := range 2500 { // more than two pages
		put(t, c, fmt.Sprintf("%s%04d", from, i), fmt.Sprint(i))
	}
	rev := put(t, c, from+"\xff\x00", "odd name")
	r := start(t, c, c, opts...)
	r.reach(rev)
	same(t, c, from, c, to)

	put(t, c, from+"0001", "changed")
	put(t, c, from+"0001", "again")
	del(t, c, from+"0002")
	put(t, c, from, "the prefix itself")
	del(t, c, from+"1", clientv3.WithPrefix()) // a thousand events of one revision
	var ops []clientv3.Op
	for i := range 128 {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("%snew%d", from, i), "new"))
	}
	if _, err := c.Txn(clienttest.Within(t, clienttest.Long)).Then(ops...).Commit(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		put(t, c, fmt.Sprint(from, "great/", i), string(make([]byte, 1200<<10)))
	}
	r.reach(put(t, c, from+"last", ""))
	same(t, c, from, c, to)
	if r.last.Comparisons != 1 {
		t.Errorf("%+v", r.last)
	}

	// The source changes while the mirror is down. The mirror continues from the checkpoint.
	r.stop()
	put(t, c, from+"while down", "")
	rev = del(t, c, from+"0003")
	r = start(t, c, c, opts...)
	r.reach(rev)
	same(t, c, from, c, to)
	if r.last.Comparisons != 0 || r.last.Puts != 1 || r.last.Deletes != 1 {
		t.Errorf("%+v", r.last)
	}

	// Now the history is compacted too, so the mirror compares both sides.
	r.stop()
	put(t, c, from+"0004", "changed")
	del(t, c, from+"0005")
	rev = put(t, c, from+"0006", "changed")
	if _, err := c.Compact(clienttest.Within(t, clienttest.Long), rev); err != nil {
		t.Fatal(err)
	}
	r = start(t, c, c, opts...)
	r.reach(rev)
	same(t, c, from, c, to)
	if r.last.Comparisons != 1 || r.last.Puts != 2 || r.last.Deletes != 1 {
		t.Errorf("%+v", r.last)
	}
	r.reach(put(t, c, from+"after", ""))
	same(t, c, from, c, to)
}

// TestWholeCluster mirrors all keys to another cluster, without options.
func TestWholeCluster(t *testing.T) {
	from, to := etcdtest.Start(t, etcdtest.Options{}), etcdtest.Start(t, etcdtest.Options{})
	etcdtest.CheckLeaks(t)
	source, target := clienttest.Dial(t, from.Endpoints()...), clienttest.Dial(t, to.Endpoints()...)
	put(t, source, "\x00", "least")
	put(t, source, "a", "1")
	rev := put(t, source, "\xff\xff", "greatest")
	r := start(t, source, target)
	r.reach(rev)
	r.reach(put(t, source, "b", "2"))
	r.stop()
	sameWhole(t, source, target)
	del(t, target, "\x00fairlead/mirror/")
	// Without the checkpoint the target's keys count as foreign data.
	if err := mirror.Run(clienttest.Within(t, clienttest.Long), source, target,
		mirror.WithoutFollowing()); !errors.Is(err, mirror.ErrTargetNotEmpty) {
		t.Errorf("%v", err)
	}
	put(t, target, "stale", "")
	put(t, target, "zzz", "")
	put(t, target, "a", "overwritten")
	var last mirror.Progress
	err := mirror.Run(
		clienttest.Within(t, clienttest.Long),
		source,
		target,
		mirror.WithoutFollowing(),
		mirror.WithReconcile(),
		mirror.WithProgress(func(p mirror.Progress) { last = p }),
	)
	if err != nil {
		t.Fatal(err)
	}
	if last.Puts != 1 || last.Deletes != 2 || last.Comparing {
		t.Errorf("%+v", last)
	}
	sameWhole(t, source, target)
}

// A checkpoint of a mirror to another prefix does not count as data; a mirror to all keys replaces
// it.
func TestCheckpointOfAnotherIsNoData(t *testing.T) {
	from, to := etcdtest.Start(t, etcdtest.Options{}), etcdtest.Start(t, etcdtest.Options{})
	source, target := clienttest.Dial(t, from.Endpoints()...), clienttest.Dial(t, to.Endpoints()...)
	run := func(opts ...mirror.Option) error {
		t.Helper()
		return mirror.Run(
			clienttest.Within(t, clienttest.Long),
			source,
			target,
			append(opts, mirror.WithoutFollowing())...)
	}
	if err := run(mirror.WithPrefix("none/")); err != nil { // leaves its checkpoint and nothing else
		t.Fatal(err)
	}
	if got := content(t, target, ""); len(got) != 1 {
		t.Fatalf("the target holds %q", got)
	}
	for _, data := range []string{"\x00", "\x00fairlead/mirror.", "\x00fairlead/mirror0", "z"} { // around it
		put(t, target, data, "")
		if err := run(); !errors.Is(err, mirror.ErrTargetNotEmpty) {
			t.Errorf("with %q: %v", data, err)
		}
		del(t, target, data)
	}
	put(t, source, "a", "1")
	if err := run(); err != nil {
		t.Fatal(err)
	}
	sameWhole(t, source, target)
}

func TestTargetHoldsData(t *testing.T) {
	c, from, to, opts := oneCluster(t)
	put(t, c, from+"a", "1")
	put(t, c, to+"b", "mine")
	once := append(opts, mirror.WithoutFollowing())
	err := mirror.Run(clienttest.Within(t, clienttest.Long), c, c, once...)
	if !errors.Is(err, mirror.ErrTargetNotEmpty) {
		t.Fatalf("%v", err)
	}
	t.Log(err)
	if got := content(t, c, to); len(got) != 1 || got["b"] != "mine" {
		t.Errorf("it wrote: %v", got)
	}
	err = mirror.Run(clienttest.Within(t, clienttest.Long), c, c, append(once, mirror.WithReconcile())...)
	if err != nil {
		t.Fatal(err)
	}
	same(t, c, from, c, to)
	// The target belongs to the mirror of this prefix now, and to no other.
	other := append(once, mirror.WithPrefix(t.Name()+"/other/"))
	err = mirror.Run(clienttest.Within(t, clienttest.Long), c, c, other...)
	if !errors.Is(err, mirror.ErrTargetNotEmpty) {
		t.Errorf("another source: %v", err)
	}
	err = mirror.Run(clienttest.Within(t, clienttest.Long), c, c, append(other, mirror.WithReconcile())...)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, c, to); len(got) != 0 {
		t.Errorf("after the source became empty: %v", got)
	}
}

func TestFromRevision(t *testing.T) {
	c, from, to, opts := oneCluster(t)
	put(t, c, from+"a", "1")
	rev := put(t, c, from+"b", "1")
	put(t, c, to+"a", "1") // as restored
	put(t, c, to+"b", "1")
	last := del(t, c, from+"a")
	r := start(t, c, c, append(opts, mirror.WithRevision(rev))...)
	r.reach(last)
	same(t, c, from, c, to)
	if r.last.Comparisons != 0 || r.last.Deletes != 1 || r.last.Puts != 0 {
		t.Errorf("%+v", r.last)
	}
	r.stop()

	// This revision was compacted.
	del(t, c, t.Name()+"/mark")
	put(t, c, from+"c", "")
	last = del(t, c, from+"b")
	if _, err := c.Compact(clienttest.Within(t, clienttest.Long), last); err != nil {
		t.Fatal(err)
	}
	r = start(t, c, c, append(opts, mirror.WithRevision(rev))...)
	r.reach(last)
	same(t, c, from, c, to)
	r.stop()

	del(t, c, t.Name()+"/mark")
	err := mirror.Run(clienttest.Within(t, clienttest.Long), c, c, append(opts, mirror.WithRevision(last+1000))...)
	if !errors.Is(err, rpctypes.ErrFutureRev) {
		t.Errorf("a future revision: %v", err)
	}
}

func TestMistakes(t *testing.T) {
	c, from, to, _ := oneCluster(t)
	put(t, c, to+"mark", "not JSON")
	put(t, c, from+"a", "1")
	closed := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	closed.Close()
	for name, test := range map[string]struct {
		target *clientv3.Client
		opts   []mirror.Option
		want   error
	}{
		"the same keys":     {c, []mirror.Option{mirror.WithPrefix(from)}, nil},
		"all keys":          {c, nil, nil},
		"within the source": {c, []mirror.Option{mirror.WithPrefix(from), mirror.WithTargetPrefix(from + "in/")}, nil},
		"around the source": {c, []mirror.Option{mirror.WithPrefix(from), mirror.WithTargetPrefix(t.Name())}, nil},
		"no checkpoint": {
			c, []mirror.Option{
				mirror.WithPrefix(from), mirror.WithTargetPrefix(to), mirror.WithCheckpoint(to + "mark"),
			}, nil,
		},
		"closed": {closed, []mirror.Option{mirror.WithPrefix(from), mirror.WithTargetPrefix(to)}, clientv3.ErrClosed},
	} {
		err := mirror.Run(clienttest.Within(t, clienttest.Long), c, test.target, test.opts...)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(err)
	}
	for name, opts := range map[string][]mirror.Option{
		"a nil option":            {nil},
		"changes after none":      {mirror.WithRevision(0)},
		"a negative revision":     {mirror.WithRevision(-1)},
		"a checkpoint of no name": {mirror.WithCheckpoint("")},
		"a comparison that is not to be made": {
			mirror.WithReconcile(), mirror.WithRevision(1),
		},
	} {
		opts = append([]mirror.Option{mirror.WithPrefix(from), mirror.WithTargetPrefix(to)}, opts...)
		if err := mirror.Run(clienttest.Within(t, clienttest.Long), c, c, opts...); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for _, clients := range [][2]*clientv3.Client{{nil, c}, {c, nil}} {
		if err := mirror.Run(clienttest.Within(t, clienttest.Long), clients[0], clients[1]); err == nil {
			t.Error("a nil client was accepted")
		}
	}
	// A key without a name.
	target := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	put(t, c, from, "")
	err := mirror.Run(
		clienttest.Within(t, clienttest.Long),
		c,
		target,
		mirror.WithPrefix(from),
		mirror.WithTargetPrefix(""),
		mirror.WithoutFollowing(),
	)
	if err == nil {
		t.Error("an empty name was accepted")
	}
	t.Log(err)
}

func TestTwoMirrorsNoticeEachOther(t *testing.T) {
	c, from, to, opts := oneCluster(t)
	one := start(t, c, c, opts...)
	one.reach(put(t, c, from+"a", "1"))
	two := start(t, c, c, opts...)
	timeout := time.After(clienttest.Long)
	for {
		// Sooner or later both mirrors write at the same time, and one of them notices.
		put(t, c, from+"a", "again")
		select {
		case err := <-one.done:
			one.done <- err
			if err != mirror.ErrConflict {
				t.Errorf("%v", err)
			}
			two.reach(put(t, c, from+"b", ""))
		case err := <-two.done:
			two.done <- err
			if err != mirror.ErrConflict {
				t.Errorf("%v", err)
			}
			one.reach(put(t, c, from+"b", ""))
		case <-timeout:
			t.Fatal("two mirrors did not notice each other")
		default:
			continue
		}
		break
	}
	same(t, c, from, c, to)
}

// TestInterruptedComparison: a mirror that ends in the middle of a comparison leaves half of a
// copy; the next one compares again.
func TestInterruptedComparison(t *testing.T) {
	c := clienttest.Shared(t)
	from, to := t.Name()+"/from/", t.Name()+"/to/"
	for i := range 500 {
		put(t, c, fmt.Sprintf("%s%03d", from, i), "")
	}
	ctx, cancel := context.WithCancel(clienttest.Within(t, clienttest.Long))
	defer cancel()
	err := mirror.Run(
		ctx,
		c,
		c,
		mirror.WithPrefix(from),
		mirror.WithTargetPrefix(to),
		mirror.WithProgress(func(p mirror.Progress) {
			if p.Comparing && p.Puts > 0 {
				cancel()
			}
		}),
	)
	if n := len(content(t, c, to)); !errors.Is(err, context.Canceled) || n == 0 || n == 500 {
		t.Fatalf("%v, %d keys", err, n)
	}
	r := start(t, c, c, mirror.WithPrefix(from), mirror.WithTargetPrefix(to))
	r.reach(put(t, c, from+"end", ""))
	r.stop()
	same(t, c, from, c, to)
}

// A mirror that does not follow shows the source's present state, whatever its checkpoint says.
func TestWithoutFollowingCatchesUp(t *testing.T) {
	c, from, to, opts := oneCluster(t)
	opts = append(opts, mirror.WithoutFollowing())
	for i := range 3 {
		put(t, c, fmt.Sprint(from, i), "")
		clienttest.OK(t, "Run", mirror.Run(clienttest.Within(t, clienttest.Long), c, c, opts...))
		same(t, c, from, c, to)
	}
}
