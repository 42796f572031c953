package console_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Each argument that makes no sense is an error that names it, and none panics.
func TestInvalidArgumentsAreErrors(t *testing.T) {
	client := clienttest.Shared(t)
	token := console.WithToken(secret)
	login := console.WithLogin(console.EtcdLogin(clientv3.Config{}))
	for what, c := range map[string]struct {
		client *clientv3.Client
		opts   []console.Option
		says   string
	}{
		"no client":             {nil, []console.Option{token}, "the client is nil"},
		"a nil option":          {client, []console.Option{token, nil}, "option 2 is nil"},
		"a login by nothing":    {client, []console.Option{token, console.WithLogin(nil)}, "WithLogin"},
		"an audit by nothing":   {client, []console.Option{token, console.WithAudit(nil)}, "WithAudit"},
		"a history nowhere":     {client, []console.Option{token, console.WithHistory("")}, "WithHistory"},
		"open with a token":     {client, []console.Option{token, console.WithOpenAccess()}, "WithOpenAccess"},
		"open with a login":     {client, []console.Option{console.WithOpenAccess(), login}, "WithOpenAccess"},
		"a host without a name": {client, []console.Option{token, console.WithHosts("")}, "WithHosts"},
		"a pattern of hosts":    {client, []console.Option{token, console.WithHosts("*.example.com")}, "WithHosts"},
		"a URL as a host":       {client, []console.Option{token, console.WithHosts("https://a.example")}, "WithHosts"},
	} {
		got, err := console.New(c.client, c.opts...)
		if got != nil || err == nil || errors.Is(err, console.ErrNoWayIn) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, base := range []string{
		"", "etcd", "//", "/a//b", "/a/./b", "/../x", "/a/..", "/a?b", "/a#b", "/a b", "/a%20b", "/a;b", "/a\nb", `/a\b`,
		"/é",
	} {
		if _, err := console.New(client, token, console.WithBasePath(base)); err == nil ||
			!strings.Contains(err.Error(), "WithBasePath") {
			t.Errorf("the base path %q: %v", base, err)
		}
	}
}

// What means nothing special is no mistake.
func TestSense(t *testing.T) {
	client := clienttest.Shared(t)
	for what, o := range map[string]console.Option{
		"no base path":       console.WithBasePath("/"),
		"a base path":        console.WithBasePath("/tools/etcd~1"),
		"its other form":     console.WithBasePath("/tools/etcd/"),
		"no hosts":           console.WithHosts(),
		"names of hosts":     console.WithHosts("Example.com", "my_host.", "xn--bcher-kva.example:8080"),
		"addresses of hosts": console.WithHosts("10.0.0.1", "[::1]:2389", "fe80::1"),
		"no TLS":             console.WithMetrics(nil),
		"no name":            console.WithName(""),
	} {
		c, err := console.New(client, console.WithToken(secret), o)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
