package mirror_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// running is a mirror in the background.
type running struct {
	t        *testing.T
	cancel   context.CancelFunc
	done     chan error
	progress chan mirror.Progress // the latest
	last     mirror.Progress
}

// start runs a mirror until stop or the end of the test.
func start(t *testing.T, source, target *clientv3.Client, opts ...mirror.Option) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(clienttest.Within(t, 4*clienttest.Long))
	r := &running{t: t, cancel: cancel, done: make(chan error, 1), progress: make(chan mirror.Progress, 1)}
	opts = append(opts, mirror.WithProgress(func(p mirror.Progress) {
		select {
		case <-r.progress:
		default:
		}
		r.progress <- p
	}))
	go func() { r.done <- mirror.Run(ctx, source, target, opts...) }()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// reach waits until the target shows a revision.
func (r *running) reach(rev int64) {
	r.t.Helper()
	timeout := time.NewTimer(2 * clienttest.Long)
	defer timeout.Stop()
	for {
		select {
		case r.last = <-r.progress:
			if r.last.Revision >= rev && !r.last.Comparing {
				return
			}
		case err := <-r.done:
			r.done <- err
			r.t.Fatalf("the mirror ended: %v", err)
		case <-timeout.C:
			r.t.Fatalf("revision %d was not reached, %+v", rev, r.last)
		}
	}
}

func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	err := <-r.done
	r.done <- err
	if err != context.Canceled {
		r.t.Errorf("the mirror ended: %v", err)
	}
	select {
	case r.last = <-r.progress:
	default:
	}
}

// content lists the keys under a prefix, without it, with values and leases.
func content(t *testing.T, c *clientv3.Client, prefix string) map[string]string {
	t.Helper()
	r, err := c.Get(clienttest.Within(t, clienttest.Long), prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for _, kv := range r.Kvs {
		m[strings.TrimPrefix(string(kv.Key), prefix)] = string(kv.Value)
	}
	return m
}

func same(t *testing.T, source *clientv3.Client, from string, target *clientv3.Client, to string) {
	t.Helper()
	a, b := content(t, source, from), content(t, target, to)
	if !maps.Equal(a, b) {
		t.Errorf("source has %d keys, target %d", len(a), len(b))
		for k := range a {
			if v, ok := b[k]; !ok || v != a[k] {
				t.Fatalf("key %q is %.20q in the source and %.20q (%v) in the target", k, a[k], v, ok)
			}
		}
		for k := range b {
			if _, ok := a[k]; !ok {
				t.Fatalf("key %q is only in the target", k)
			}
		}
	}
}

// put writes a key and returns the revision.
func put(t *testing.T, c *clientv3.Client, key, val string, opts ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := c.Put(clienttest.Within(t, clienttest.Long), key, val, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func del(t *testing.T, c *clientv3.Client, key string, opts ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := c.Delete(clienttest.Within(t, clienttest.Long), key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

// sameWhole compares whole clusters, but for the checkpoint.
func sameWhole(t *testing.T, source, target *clientv3.Client) {
	t.Helper()
	a, b := content(t, source, ""), content(t, target, "")
	delete(b, "\x00fairlead/mirror/")
	if !maps.Equal(a, b) {
		t.Errorf("source has %d keys, target %d: %.500q, %.500q", len(a), len(b), a, b)
	}
}
