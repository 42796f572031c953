package command

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

func TestDiscoverySRV(t *testing.T) {
	answers := map[string][]*net.SRV{
		"etcd-client-ssl-blue": {{Target: "a.example.", Port: 2379}},
		"etcd-client-blue":     {{Target: "b.example.", Port: 2380}},
	}
	lookup := func(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
		if all, ok := answers[service]; ok && proto == "tcp" && name == "example" {
			return "", all, nil
		}
		return "", nil, errors.New("no such host")
	}
	f := &ConnFlags{DiscoverySRV: "example", discoveryName: "blue", insecureDiscovery: true}
	got, err := f.lookupSRV(t.Context(), lookup)
	if want := []string{"https://a.example:2379", "http://b.example:2380"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	f.insecureDiscovery = false
	if got, err = f.lookupSRV(t.Context(), lookup); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	f.discoveryName = ""
	if _, err = f.lookupSRV(t.Context(), lookup); ExitCode(err) != ExitUnreachable ||
		!strings.Contains(err.Error(), "example") {
		t.Error(err)
	}
}
