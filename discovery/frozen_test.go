package discovery_test

import (
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// When the only member freezes, the status soon says that the view is stale.
func TestStaleWhileTheOnlyMemberStandsStill(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	register(t, registrar(t, c), orders(t, "0"))
	d := discovery.NewDirectory(c, discovery.WithFormat(base(t)), discovery.WithLog(nil))
	t.Cleanup(func() { d.Close() })
	sub, err := d.Subscribe(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	clienttest.Await(
		t,
		"the view",
		func() bool { v := sub.View(); return v != nil && v.Len() == 1 && !sub.Status().Stale },
	)
	m := cluster.Members()[0]
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Thaw() })
	began := time.Now()
	clienttest.Await(t, "a stale view", func() bool { return sub.Status().Stale })
	if took := time.Since(began); took > 10*time.Second { // 2.5 s
		t.Errorf("stale after %v", took)
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "a fresh view", func() bool { return !sub.Status().Stale })
}
