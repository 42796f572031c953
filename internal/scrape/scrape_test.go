package scrape_test

import (
	"context"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/scrape"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func TestMember(t *testing.T) {
	endpoint := etcdtest.Shared(t).Endpoints()[0]
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r := scrape.New(nil)
	defer r.Close()
	for _, ep := range []string{endpoint, "http://" + endpoint} {
		if n, err := r.Sum(ctx, ep, "process_resident_memory_bytes"); err != nil || n < 1<<20 {
			t.Errorf("%s: memory %v, %v", ep, n, err)
		}
		if n, err := r.Sum(ctx, ep, "grpc_server_started_total"); err != nil || n < 0 {
			t.Errorf("%s: calls %v, %v", ep, n, err)
		}
	}
	for _, c := range []struct{ endpoint, metric string }{
		{endpoint, "process_resident_memory"}, {"unix:///nowhere", "up"}, {"127.0.0.1:1", "up"}, {"::", "up"},
	} {
		if n, err := r.Sum(ctx, c.endpoint, c.metric); err == nil {
			t.Errorf("%s of %s: %v", c.metric, c.endpoint, n)
		}
	}
}

func TestValue(t *testing.T) {
	for _, c := range []struct {
		line string
		want float64
		ok   bool
	}{
		{"m 1.5e+03", 1500, true}, {`m{a="b c",le="1"} 7`, 7, true}, {"mm 1", 0, false}, {"m", 0, false},
		{"m x", 0, false}, {"# m 1", 0, false},
	} {
		if v, ok := scrape.Value(c.line, "m"); v != c.want || ok != c.ok {
			t.Errorf("%q: %v, %v", c.line, v, ok)
		}
	}
}
