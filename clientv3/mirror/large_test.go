package mirror_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// largest finds the size of the largest value that a server takes for keys like key.
func largest(t *testing.T, c *clientv3.Client, key string) int {
	t.Helper()
	low, high := 1<<20, 2<<20 // accepted, refused
	for low+1 < high {
		mid := (low + high) / 2
		_, err := c.Put(clienttest.Within(t, clienttest.Long), key, strings.Repeat("x", mid))
		switch {
		case err == nil:
			low = mid
		case errors.Is(err, rpctypes.ErrRequestTooLarge):
			high = mid
		default:
			t.Fatal(err)
		}
	}
	return low
}

// TestValuesOfEverySize: a value that both source and target accept is in the target, whether Run
// compares or follows, up to the last byte that a request may have.
func TestValuesOfEverySize(t *testing.T) {
	source := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	target := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	// A server adds its id to a request, and one of two ids is a byte longer.
	most := min(largest(t, source, "from/limit-000"), largest(t, target, "into/limit-000"))
	if _, err := target.Delete(clienttest.Within(t, clienttest.Long), "into/limit-000"); err != nil {
		t.Fatal(err)
	}
	put(t, source, "from/limit-000", strings.Repeat("x", most))
	var sizes []int
	for n := 1; n < most; n *= 4 {
		sizes = append(sizes, n)
	}
	for below := 0; below <= 330; below += 1 + below/8 { // in small steps close to the limit
		sizes = append(sizes, most-below)
	}
	write := func(round string) (rev int64) {
		for i, n := range sizes {
			rev = put(t, source, fmt.Sprintf("from/%s-%03d", round, i), strings.Repeat(string(rune('a'+i%26)), n))
		}
		return rev
	}
	rev := write("first")
	m := start(t, source, target, mirror.WithPrefix("from/"), mirror.WithTargetPrefix("into/"))
	m.reach(rev)
	m.reach(write("later"))
	// Large and small ones in one revision.
	whole, err := source.Txn(clienttest.Within(t, clienttest.Long)).Then(
		clientv3.OpPut("from/both-a", strings.Repeat("y", most/2-50)),
		clientv3.OpPut("from/both-b", strings.Repeat("z", most/2-50)),
		clientv3.OpPut("from/both-c", "small"), clientv3.OpDelete("from/first-000")).
		Commit()
	if err != nil {
		t.Fatal(err)
	}
	m.reach(whole.Header.Revision)
	m.reach(put(t, source, fmt.Sprintf("from/later-%03d", len(sizes)-1), "small again"))
	m.stop()
	same(t, source, "from/", target, "into/")
	if m.last.Comparisons != 1 {
		t.Errorf("both sides were compared %d times", m.last.Comparisons)
	}
	err = mirror.Run(clienttest.Within(t, clienttest.Long), source, target, mirror.WithPrefix("from/"),
		mirror.WithTargetPrefix("a longer name/"), mirror.WithoutFollowing())
	if !errors.Is(err, rpctypes.ErrRequestTooLarge) || !strings.Contains(err.Error(), "a longer name/first-") {
		t.Errorf("what is too large with a longer name: %v", err)
	}
}
