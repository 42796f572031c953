package hosts_test

import (
	"net"
	"os"
	"slices"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/hosts"
)

func TestOf(t *testing.T) {
	if got := hosts.Of(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("one address: %q", got)
	}
	if got := hosts.Of(&net.UnixAddr{Name: "/run/socket"}); got != nil {
		t.Errorf("a socket in the file system: %q", got)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	all := hosts.Of(&net.TCPAddr{IP: net.IPv6unspecified, Port: 80})
	for _, want := range []string{"::", name, "127.0.0.1"} {
		if !slices.Contains(all, want) {
			t.Errorf("any address: %q is not in %q", want, all)
		}
	}
}
