package discovery_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestLimitsValidate(t *testing.T) {
	for _, l := range []discovery.Limits{{}, {Requests: 1}, {Failures: 99, Calls: 5, Seconds: 10}} {
		if err := l.Validate(); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for _, l := range []discovery.Limits{{
		Requests: -1,
	}, {Failures: 100}, {Calls: 5}, {Seconds: 10}, {Failures: 1, Seconds: 1 << 20}, {Requests: 1 << 31}} {
		if err := l.Validate(); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// Limits reach the followers and stay in the file while etcd is away; other parts of the record
// stay as they are.
func TestLimitsFollowed(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 1})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	const service, key = "limited", "/fairlead/control/limited"
	files := filepath.Join(t.TempDir(), "files")
	put := func(l discovery.Limits) {
		t.Helper()
		err := discovery.ChangeControl(
			within(t),
			c,
			service,
			func(ctl *discovery.Control) error { ctl.Limits = l; return nil },
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	d := discovery.NewDirectory(c, discovery.WithFiles(files))
	sub, err := d.Subscribe(service)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := sub.Next(within(t)); err != nil || first.Relimited || first.View.Limits() != (discovery.Limits{}) {
		t.Fatalf("%+v, %v", first, err)
	}
	want := discovery.Limits{Requests: 7, Failures: 50}
	put(want)
	if next, err := sub.Next(within(t)); err != nil || !next.Relimited || next.Resplit || next.View.Limits() != want {
		t.Fatalf("%+v, %v", next, err)
	}
	if _, err := c.Put(within(t), key, `{"limits":{"requests":7,"failures":50,"later":1}}`); err != nil {
		t.Fatal(err)
	}
	err = discovery.ChangeControl(within(t), c, service, func(ctl *discovery.Control) error {
		ctl.Split = discovery.Split{"v1": 100}
		return nil
	})
	if r, gerr := c.Get(within(t), key); err != nil || gerr != nil ||
		!strings.Contains(string(r.Kvs[0].Value), `"later":1`) {
		t.Fatalf("%v %v %v", r, err, gerr)
	}
	clienttest.Await(t, "the file has both", func() bool {
		data, _ := os.ReadFile(filepath.Join(files, service+".json")) // it may not be there yet
		text := string(data)
		return strings.Contains(text, `"requests": 7`) && strings.Contains(text, `"v1": 100`)
	})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	cluster.Members()[0].Kill()
	again := discovery.NewDirectory(clienttest.Dial(t, cluster.Endpoints()...), discovery.WithFiles(files))
	t.Cleanup(func() { _ = again.Close() }) // etcd is away
	if sub, err = again.Subscribe(service); err != nil {
		t.Fatal(err)
	}
	if first, err := sub.Next(within(t)); err != nil || first.View.Limits() != want {
		t.Fatalf("%+v, %v", first, err)
	}
}
