package reach

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const bootstrap = `{
  "xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
  "node": {"id": "host-1", "locality": {"zone": "east"}}
}`

// grpcBackend is a service's process: it answers with its id, and ends when its calls have ended.
func grpcBackend(t testing.TB, id string) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		return stream.SendMsg(wrapperspb.String(id))
	}))
	go func() { _ = g.Serve(l) }()
	stop = sync.OnceFunc(g.GracefulStop)
	t.Cleanup(g.Stop)
	return l.Addr().String(), stop
}

// caller is a program that calls all the time; each line names who answered.
type caller struct {
	*process
	t testing.TB
}

// latest waits for n more calls, and counts the answers of each instance.
func (c caller) latest(n int) map[string]int {
	c.t.Helper()
	from := len(c.said())
	var lines []string
	clienttest.Await(c.t, fmt.Sprintf("%d more calls", n), func() bool {
		lines = strings.Split(c.said()[from:], "\n")
		return len(lines) > n+1
	})
	got := make(map[string]int)
	for _, line := range lines[1 : n+1] { // the first may be part of a line
		got[line]++
	}
	return got
}

func (c caller) only(ids ...string) {
	c.t.Helper()
	clienttest.Await(c.t, fmt.Sprintf("%q alone answer", ids), func() bool {
		got := c.latest(40)
		for _, id := range ids {
			if got[id] == 0 {
				return false
			}
		}
		return len(got) == len(ids)
	})
}

// gRPC for Node and gRPC's C core, the base of most other languages, find a service through the
// agent. They balance by weight and follow splits and drains. They lose no call in a rolling
// restart, while the agent is restarted, or while etcd is away.
func TestGRPCWithoutProxy(t *testing.T) {
	for name, command := range map[string][]string{
		"node":   {"node", "clients/where.js", "orders"},
		"python": {"/usr/bin/python3", "clients/where.py", "orders"},
	} {
		t.Run(name, func(t *testing.T) { testCaller(t, command) })
	}
}

func testCaller(t *testing.T, command []string) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	at, files := "127.0.0.1:"+port(t), t.TempDir()
	start := func() *agent {
		a := startAgent(t, c, "--xds", at, "--files", files)
		clienttest.Await(t, "it serves", func() bool { return strings.Contains(a.said(), "serving xDS") })
		return a
	}
	type one struct {
		reg  *discovery.Registration
		stop func()
	}
	begin := func(in discovery.Instance) one {
		address, stop := grpcBackend(t, in.ID)
		in.Service, in.Addresses = "orders", []string{address}
		return one{register(t, client, in), stop}
	}
	a := start()
	old := []one{
		begin(discovery.Instance{ID: "a", Version: "v1", Zone: "east"}),
		begin(discovery.Instance{ID: "b", Version: "v2", Zone: "west"}),
	}
	t.Setenv("GRPC_XDS_BOOTSTRAP_CONFIG", fmt.Sprintf(bootstrap, at))
	calls := caller{launch(t, command[0], command[1:]...), t}
	calls.only("a", "b")
	old = append(old, begin(discovery.Instance{ID: "c", Version: "v1", Zone: "east", Weight: 20}))
	calls.only("a", "b", "c")

	const n = 600 // a quarter, a quarter and a half, within five standard deviations of the half
	clienttest.Await(t, "calls are balanced by weight", func() bool {
		for id, got := range calls.latest(n) {
			want := map[string]float64{"a": n / 4, "b": n / 4, "c": n / 2}[id]
			if math.Abs(float64(got)-want) > 5*math.Sqrt(n)/2 {
				return false
			}
		}
		return true
	})
	split(t, client, discovery.Split{"v1": 0, "v2": 100})
	calls.only("b")
	split(t, client, discovery.Split{"v1": 50, "v2": 50})
	calls.only("a", "b", "c")
	split(t, client, nil)
	err := discovery.Drain(clienttest.Within(t, clienttest.Long), client, discovery.JSON{}, "orders", "b")
	if err != nil {
		t.Fatal(err)
	}
	calls.only("a", "c")
	err = discovery.Undrain(clienttest.Within(t, clienttest.Long), client, discovery.JSON{}, "orders", "b")
	if err != nil {
		t.Fatal(err)
	}
	calls.only("a", "b", "c")

	for i, was := range old {
		begin(discovery.Instance{ID: fmt.Sprintf("new-%d", i)})
		clienttest.Await(
			t,
			"the new one answers",
			func() bool { return calls.latest(40)[fmt.Sprintf("new-%d", i)] > 0 },
		)
		if err := was.reg.Drain(clienttest.Within(t, clienttest.Long), clienttest.Long); err != nil {
			t.Error(err)
		}
		was.stop()
	}
	calls.only("new-0", "new-1", "new-2")

	a.end(syscall.SIGTERM)
	calls.latest(40)
	a = start()
	begin(discovery.Instance{ID: "after"})
	calls.only("new-0", "new-1", "new-2", "after")
	clienttest.Await(t, "the last one is in the file", func() bool {
		text, _ := os.ReadFile(filepath.Join(files, "services", "orders.json"))
		return strings.Contains(string(text), `"after"`)
	})
	a.end(syscall.SIGKILL)
	c.Members()[0].Kill()
	start()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		calls.latest(40)
	}
	late := caller{launch(t, command[0], command[1:]...), t} // it gets what the agent has from its files
	late.only("new-0", "new-1", "new-2", "after")
	if err := c.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	begin(discovery.Instance{ID: "last"})
	calls.only("new-0", "new-1", "new-2", "after", "last")
	for _, x := range []caller{calls, late} {
		lines := strings.Split(x.said(), "\n")
		lost := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.HasPrefix(line, "!") })
		if t.Logf("%d calls, %d lost", len(lines)-1, len(lost)); len(lost) > 0 {
			t.Errorf("lost: %q", lost)
		}
	}
}

func split(t *testing.T, client *clientv3.Client, s discovery.Split) {
	t.Helper()
	err := discovery.ChangeControl(
		clienttest.Within(t, clienttest.Long),
		client,
		"orders",
		func(c *discovery.Control) error { c.Split = s; return nil },
	)
	if err != nil {
		t.Fatal(err)
	}
}

// clients returns what is missing for gRPC's clients.
func clients() error {
	if _, err := os.Stat("clients/node_modules"); err != nil {
		return fmt.Errorf("gRPC for Node is not installed, see the Makefile: %w", err)
	}
	if out, err := exec.Command("/usr/bin/python3", "-c", "import grpc").CombinedOutput(); err != nil {
		return fmt.Errorf("Debian's package python3-grpcio: %w: %s", err, out)
	}
	return nil
}
