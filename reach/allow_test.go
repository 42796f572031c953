package reach

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// inNetwork is a script that runs in a network of its own with two more addresses: the agent
// listens on one, and is asked from three. The domain's own record needs no etcd.
const inNetwork = `
ip link set lo up
ip addr add 10.9.0.1/24 dev lo
ip addr add 10.8.0.1/24 dev lo
"$1" agent --endpoints 127.0.0.1:1 --dns 10.9.0.1:5353 2>&1 && exit 1
"$1" agent --endpoints 127.0.0.1:1 --dns 10.9.0.1:5353 --allow 10.9.0.0/24 & agent=$!
ask() { dig +short +tries=1 "$@" @10.9.0.1 -p 5353 fairlead.internal SOA; }
until ask -b 10.9.0.1 +time=1 >/dev/null; do sleep 0.1; done
for how in +notcp +tcp; do
	for from in 10.9.0.1 127.0.0.1 10.8.0.1; do
		if ask "$how" -b "$from" +time=3 | grep -q hostmaster; then echo "$from $how answered"; else echo "$from $how nothing"; fi
	done
done
kill "$agent"
wait "$agent"
`

// On an address that others reach, the agent answers the networks that may ask it, over UDP and
// TCP, and this machine, and nobody else. Without such networks it does not start.
func TestAllow(t *testing.T) {
	cmd := exec.CommandContext(clienttest.Within(t, 2*clienttest.Long), "unshare", "--user", "--map-root-user", "--net",
		"--pid", "--fork", "--kill-child", "--", "sh", "-c", inNetwork, "sh", program)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"give --allow with the networks", "10.9.0.1 +notcp answered", "10.9.0.1 +tcp answered",
		"127.0.0.1 +notcp answered",
		"127.0.0.1 +tcp answered", "10.8.0.1 +notcp nothing", "10.8.0.1 +tcp nothing",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}
