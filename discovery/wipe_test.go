package discovery_test

import (
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// etcd is wiped and reaches higher revisions than before. A view that has had no change since it
// was listed shows the new instances all the same. The operators' record of the old history no
// longer applies.
func TestWipedEtcdThatOvertook(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	before, after := orders(t, "before"), orders(t, "after")
	write := func(in discovery.Instance) (key, value string) {
		t.Helper()
		v, err := base(t).Marshal(&in)
		if err != nil {
			t.Fatal(err)
		}
		return base(t).Key(&in), string(v)
	}
	key, record := write(before)
	if _, err := c.Put(within(t), key, record); err != nil {
		t.Fatal(err)
	}
	err := discovery.ChangeControl(within(t), c, t.Name(), func(k *discovery.Control) error {
		k.Override("after", func(o *discovery.Override) { o.Maintenance = true })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s := subscribe(t, directory(t, c, discovery.WithReturnHold(0)))
	awaitIDs(t, s, "before")
	key, record = write(after)
	clienttest.Overtake(t, cluster, map[string]string{key: record})
	clienttest.Await(t, "the instance of the new history, not drained", func() bool {
		for _, in := range s.View().Instances() {
			if in.ID == "after" {
				return in.State != discovery.Draining
			}
		}
		return false
	})
}
