package discovery_test

import (
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A view that catches up after an outage has the revision of its last change, although the headers
// of the server's responses already have a later one.
func TestViewsOnTheWayAreOfTheirRevision(t *testing.T) {
	const changes = 3500 // a server sends a thousand at a time
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	member := cluster.Members()[0]
	direct := clienttest.Dial(t, member.Direct)
	in, f := orders(t, "a"), base(t)
	put := func(n int) int64 {
		in.Metadata = map[string]string{"n": fmt.Sprint(n)}
		value, err := f.Marshal(&in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := direct.Put(within(t), f.Key(&in), string(value))
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Revision
	}
	first := put(0)
	s := subscribe(t, directory(t, clienttest.Dial(t, cluster.Endpoints()...)))
	next(t, s)
	member.Proxy().Cut()
	for n := range changes {
		put(n + 1)
	}
	if err := member.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	views, last := 0, int64(0)
	clienttest.Await(t, "the last change", func() bool {
		for {
			v := s.View()
			if v.Revision() == last {
				return last == first+changes
			}
			last = v.Revision()
			views++
			if n := v.Get("a").Metadata["n"]; n != fmt.Sprint(last-first) {
				t.Fatalf("the view of revision %d shows change %s, not %d", last, n, last-first)
			}
		}
	})
	t.Logf("%d views", views)
}
