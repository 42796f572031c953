package clientv3_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestWatchWithTokensThatExpireOnTheWay: a token lives for longer than one round trip, but not two.
// A watch whose connection broke must begin again with a token that the server still accepts.
func TestWatchWithTokensThatExpireOnTheWay(t *testing.T) {
	t.Parallel()
	const oneWay = 1100 * time.Millisecond
	cl := withAuth(t, etcdtest.Options{Proxied: true, Args: []string{"--auth-token-ttl=3"}}) // it is 3 to 4 s
	direct := dial(t, clientv3.Config{Endpoints: []string{cl.Members()[0].Direct}, Username: "user", Password: "pass"})
	cl.Members()[0].Proxy().Delay(oneWay)
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	w := c.Watch(ctxFor(t, 5*long), "user/", clientv3.WithPrefix())
	for round := range 2 {
		time.Sleep(5 * time.Second) // nothing is sent meanwhile, so the token expires
		cl.Members()[0].Proxy().Reset()
		put(t, direct, "user/k", fmt.Sprint(round))
		if r := next(t, w); r.Err() != nil || len(r.Events) != 1 || string(r.Events[0].Kv.Value) != fmt.Sprint(round) {
			t.Fatalf("round %d: %+v, %v", round, r, r.Err())
		}
	}
}
