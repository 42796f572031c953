package grpcdisc_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// For each invalid argument Build and the calls return an error that names it. Nothing panics.
func TestInvalidArgumentsAreErrors(t *testing.T) {
	d := directory(t, clienttest.Shared(t))
	for what, b := range map[string]*grpcdisc.Builder{
		"is nil":                       grpcdisc.NewBuilder(nil),
		"the client is nil":            grpcdisc.NewBuilder(discovery.NewDirectory(nil)),
		"an option is nil":             grpcdisc.NewBuilder(d, nil),
		"an option for picking is nil": grpcdisc.NewBuilder(d, grpcdisc.WithPicking(pick.WithWait(), nil)),
	} {
		target := resolver.Target{}
		target.URL.Path = "/orders"
		if _, err := b.Build(target, nil, resolver.BuildOptions{}); !errors.Is(err, discovery.ErrInvalid) ||
			!strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		cc, err := grpc.NewClient(
			"etcd:///orders",
			grpc.WithResolvers(b),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
		)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := call(within(t), cc); status.Code(err) != codes.Unavailable ||
			!strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		cc.Close()
	}
	for what, opts := range map[string][]grpcdisc.InterceptorOption{
		"a nil option":           {nil},
		"no attempts":            {grpcdisc.WithAttempts(0)},
		"far too many attempts":  {grpcdisc.WithAttempts(1 << 40)},
		"a negative limit":       {grpcdisc.WithAttemptTimeout(-1)},
		"a negative hedge":       {grpcdisc.WithHedging(-1)},
		"a hedge of one attempt": {grpcdisc.WithHedging(1), grpcdisc.WithAttempts(1)},
		"a method of no service": {grpcdisc.WithIdempotent("Method")},
	} {
		err := grpcdisc.NewInterceptor(opts...)(within(t), "/x/Y", nil, nil, nil, nil)
		if !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("the interceptor with %s: %v", what, err)
		}
	}
}
