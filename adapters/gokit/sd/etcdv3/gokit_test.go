package etcdv3_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/lb"
	"github.com/go-kit/log"

	"github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// call makes endpoints of URLs that answer with the body of a GET.
func call(url string) (endpoint.Endpoint, io.Closer, error) {
	return func(ctx context.Context, _ any) (any, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}, nil, nil
}

// callThrough calls the instances under a prefix n times through go-kit's endpointer,
// balancer and retry, and counts the answers. It waits for two instances.
func callThrough(t *testing.T, c etcdv3.Client, prefix string, n int) map[string]int {
	t.Helper()
	instancer, err := etcdv3.NewInstancer(c, prefix, log.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(instancer.Stop)
	endpointer := sd.NewEndpointer(instancer, call, log.NewNopLogger())
	t.Cleanup(endpointer.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	clienttest.Await(t, "two endpoints", func() bool {
		list, err := endpointer.Endpoints()
		return err == nil && len(list) == 2
	})
	retry := lb.Retry(3, 3*time.Second, lb.NewRoundRobin(endpointer))
	answers := make(map[string]int)
	for range n {
		a, err := retry(clienttest.Within(t, clienttest.Long), struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		answers[a.(string)]++
	}
	return answers
}
