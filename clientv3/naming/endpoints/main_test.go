package endpoints_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func dial(t testing.TB, log *zap.Logger, endpoints ...string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// manager returns a Manager of a target that no other test uses.
func manager(t testing.TB, c *clientv3.Client) endpoints.Manager {
	t.Helper()
	m, err := endpoints.NewManager(c, t.Name())
	clienttest.OK(t, "NewManager", err)
	_, err = c.Delete(within(t), t.Name(), clientv3.WithPrefix()) // keys of an earlier run
	clienttest.OK(t, "Delete", err)
	return m
}

// view is the state of a watch channel's consumer.
type view struct {
	t     *testing.T
	ch    endpoints.WatchChannel
	known map[string]string // address by the end of the key
	n     int               // deliveries
}

func watch(t *testing.T, ctx context.Context, m endpoints.Manager) *view {
	t.Helper()
	ch, err := m.NewWatchChannel(ctx)
	clienttest.OK(t, "NewWatchChannel", err)
	return &view{t: t, ch: ch, known: make(map[string]string)}
}

// step takes one delivery and describes its updates.
func (v *view) step() []string {
	v.t.Helper()
	select {
	case list, open := <-v.ch:
		if !open {
			v.t.Fatal("the channel is closed")
		}
		v.n++
		return v.take(list)
	case <-time.After(clienttest.Long):
		v.t.Fatalf("nothing delivered within %v, known %v", clienttest.Long, v.known)
	}
	return nil
}

func (v *view) take(list []*endpoints.Update) (said []string) {
	v.t.Helper()
	if len(list) == 0 {
		v.t.Error("an empty delivery")
	}
	for _, u := range list {
		key := u.Key[len(v.t.Name())+1:]
		switch u.Op {
		case endpoints.Add:
			v.known[key] = u.Endpoint.Addr
			said = append(said, fmt.Sprintf("+%s %s %v", key, u.Endpoint.Addr, u.Endpoint.Metadata))
		case endpoints.Delete:
			if _, ok := v.known[key]; !ok {
				v.t.Errorf("%s is deleted and was never there", key)
			}
			delete(v.known, key)
			said = append(said, "-"+key)
		}
	}
	return said
}

func (v *view) says(want ...string) {
	v.t.Helper()
	if got := v.step(); !slices.Equal(got, want) {
		v.t.Errorf("delivered %q, want %q", got, want)
	}
}

// reach takes deliveries until the view equals want.
func (v *view) reach(want map[string]string) {
	v.t.Helper()
	for !maps.Equal(v.known, want) {
		v.step()
	}
}

// closes waits until the channel is closed.
func (v *view) closes() {
	v.t.Helper()
	for {
		select {
		case _, open := <-v.ch:
			if !open {
				return
			}
		case <-time.After(clienttest.Long):
			v.t.Fatalf("the channel is not closed within %v", clienttest.Long)
		}
	}
}

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }
