package reach

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// dig asks a server and returns the lines of the answer, in order.
func dig(t testing.TB, server string, args ...string) []string {
	t.Helper()
	host, port, _ := net.SplitHostPort(server)
	args = append([]string{"@" + host, "-p", port, "+short", "+tries=1", "+time=5"}, args...)
	out, err := exec.CommandContext(clienttest.Within(t, clienttest.Long), "dig", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %q: %v\n%s", args, err, out)
	}
	lines := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	slices.Sort(lines)
	return lines
}

func awaitDig(t testing.TB, server string, want []string, args ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("dig %q: %q, want %q", args, got, want)
		}
	}()
	clienttest.Await(
		t,
		fmt.Sprintf("dig %q says %q", args, want),
		func() bool { got = dig(t, server, args...); return slices.Equal(got, want) },
	)
}

// hosts registers two instances of orders, and a service with a host name that is another
// service's.
func hosts(t *testing.T, client *clientv3.Client) {
	register(
		t,
		client,
		discovery.Instance{
			Service:   "orders",
			ID:        "one",
			Addresses: []string{"10.0.0.1:8080"},
			Version:   "v1",
			Zone:      "east",
			Tags:      []string{"blue"},
			Weight:    3,
		},
	)
	register(
		t,
		client,
		discovery.Instance{Service: "orders", ID: "two", Addresses: []string{"10.0.0.2:8080"}, Version: "v2"},
	)
	register(
		t,
		client,
		discovery.Instance{Service: "legacy", ID: "one", Addresses: []string{"v1.orders.fairlead.internal:8080"}},
	)
}

// Every kind of name, as dig prints the answers. With --files the answers are the same while etcd
// is away, after a restart.
func TestDig(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	hosts(t, client)
	files, listen := t.TempDir(), "127.0.0.1:"+port(t)
	start := func() *process {
		p := launch(
			t,
			program,
			"dns",
			"--endpoints",
			strings.Join(c.Endpoints(), ","),
			"--listen",
			listen,
			"--ttl",
			"1s",
			"--files",
			files,
		)
		clienttest.Await(t, "it answers", func() bool { return strings.Contains(p.said(), "answering") })
		return p
	}
	const d = ".fairlead.internal"
	questions := func(server string) {
		t.Helper()
		awaitDig(t, server, []string{"10.0.0.1", "10.0.0.2"}, "orders"+d)
		awaitDig(t, server, []string{"10.0.0.1", "10.0.0.2"}, "+tcp", "orders"+d)
		awaitDig(t, server, []string{"10.0.0.1"}, "blue.orders"+d)
		awaitDig(t, server, []string{"10.0.0.1"}, "east.orders"+d)
		awaitDig(t, server, []string{"10.0.0.2"}, "v2.orders"+d)
		awaitDig(
			t,
			server,
			[]string{"0 10 8080 ip-10-0-0-2.orders" + d + ".", "0 3 8080 ip-10-0-0-1.orders" + d + "."},
			"_orders._tcp"+d,
			"SRV",
		)
		awaitDig(t, server, []string{`"id=one" "version=v1" "zone=east" "tags=blue"`}, "v1.orders"+d, "TXT")
		awaitDig(t, server, []string{"v1.orders" + d + "."}, "legacy"+d, "CNAME")
		awaitDig(t, server, []string{"ip-10-0-0-2.orders" + d + "."}, "-x", "10.0.0.2")
		awaitDig(t, server, nil, "nosuch"+d)
	}
	first := start()
	questions(listen)
	for _, service := range []string{"orders", "legacy"} {
		clienttest.Await(t, service+" is in a file", func() bool {
			text, _ := os.ReadFile(filepath.Join(files, "services", service+".json"))
			return strings.Contains(string(text), `:8080"`)
		})
	}
	first.end(syscall.SIGKILL)
	c.Members()[0].Kill()
	start()
	awaitDig(t, listen, []string{"10.0.0.1", "10.0.0.2"}, "orders"+d)
	awaitDig(t, listen, []string{"v1.orders" + d + "."}, "legacy"+d, "CNAME")
	awaitDig(t, listen, []string{"ip-10-0-0-2.orders" + d + "."}, "-x", "10.0.0.2")
	if err := c.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	questions(listen)
}

const unboundConfig = `
server:
  interface: 127.0.0.1
  port: %[2]s
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: %[1]q
  pidfile: ""
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "10.in-addr.arpa." nodefault
remote-control:
  control-enable: no
stub-zone:
  name: "fairlead.internal"
  stub-addr: %[3]s
stub-zone:
  name: "10.in-addr.arpa"
  stub-addr: %[3]s
`

// unbound in front of the agent resolves names of the domain, follows a CNAME, and has changes
// once the TTL is over.
func TestUnbound(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	hosts(t, client)
	a := startAgent(t, c, "--dns", "127.0.0.1:0", "--ttl", "1s")
	dir, p := t.TempDir(), port(t)
	config, server := filepath.Join(dir, "unbound.conf"), "127.0.0.1:"+p
	write(t, config, fmt.Sprintf(unboundConfig, dir, p, strings.Replace(a.dns, ":", "@", 1)))
	u := launch(t, "unbound", "-d", "-c", config)
	clienttest.Await(t, "unbound serves", func() bool { return strings.Contains(u.said(), "start of service") })
	const d = ".fairlead.internal"
	awaitDig(t, server, []string{"10.0.0.1", "10.0.0.2"}, "orders"+d)
	awaitDig(t, server, []string{"10.0.0.1"}, "blue.orders"+d)
	awaitDig(t, server, []string{"10.0.0.1", "v1.orders" + d + "."}, "legacy"+d)
	awaitDig(t, server, []string{"0 10 8080 v1.orders" + d + "."}, "_legacy._tcp"+d, "SRV")
	awaitDig(
		t,
		server,
		[]string{"0 10 8080 ip-10-0-0-2.orders" + d + ".", "0 3 8080 ip-10-0-0-1.orders" + d + "."},
		"_orders._tcp"+d,
		"SRV",
	)
	awaitDig(t, server, []string{"ip-10-0-0-1.orders" + d + "."}, "-x", "10.0.0.1")
	register(t, client, discovery.Instance{Service: "orders", ID: "three", Addresses: []string{"10.0.0.3:8080"}})
	awaitDig(t, server, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, "orders"+d)
}

const nginxConfig = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  resolver %[2]s valid=1s ipv6=off;
  server {
    listen 127.0.0.1:%[3]s;
    set $orders orders.fairlead.internal;
    location / { proxy_pass http://$orders:%[4]s; }
  }
}
`

// nginx, with a resolver and a variable, calls the present instances.
func TestNginx(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	a := startAgent(t, c, "--dns", "127.0.0.1:0", "--ttl", "1s")
	dir, p := t.TempDir(), port(t)
	first, _ := backendAt(t, "127.0.0.2:0", "one") // A records have no port, so all instances share one
	_, common, _ := net.SplitHostPort(first)
	second, _ := backendAt(t, "127.0.0.3:"+common, "two")
	one := register(t, client, discovery.Instance{Service: "orders", ID: "one", Addresses: []string{first}})
	config := filepath.Join(dir, "nginx.conf")
	write(t, config, fmt.Sprintf(nginxConfig, dir, a.dns, p, common))
	launch(t, "nginx", "-e", "stderr", "-p", dir, "-c", config)
	url := "http://127.0.0.1:" + p
	clienttest.Await(t, "nginx calls the first", func() bool { return get(t, url) == "one" })
	register(t, client, discovery.Instance{Service: "orders", ID: "two", Addresses: []string{second}})
	clienttest.Await(t, "nginx calls the second", func() bool { return get(t, url) == "two" })
	if err := one.Drain(clienttest.Within(t, clienttest.Long), clienttest.Long); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "nginx calls the second alone", func() bool {
		for range 20 {
			if get(t, url) != "two" {
				return false
			}
		}
		return true
	})
}

const haproxyConfig = `
global
  maxconn 200
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
resolvers fairlead
  nameserver agent %[2]s
  accepted_payload_size 4096
  timeout resolve 500ms
  timeout retry 500ms
  hold valid 500ms
  hold obsolete 0s
frontend in
  bind 127.0.0.1:%[1]s
  default_backend orders
backend orders
  server-template orders 5 _orders._tcp.fairlead.internal resolvers fairlead resolve-opts allow-dup-ip init-addr none
`

// Every instance behind HAProxy is replaced, one after the other. HAProxy has a template of
// servers from SRV records. No call is lost.
func TestHAProxyRollingRestart(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	a := startAgent(t, c, "--dns", "127.0.0.1:0", "--ttl", "1s")
	type running struct {
		reg  *discovery.Registration
		stop func()
	}
	begin := func(id string) running {
		at, stop := backend(t, id)
		return running{
			register(
				t,
				client,
				discovery.Instance{Service: "orders", ID: id, Addresses: []string{at}},
				discovery.WithServing(3*time.Second),
			),
			stop,
		}
	}
	old := []running{begin("old-0"), begin("old-1"), begin("old-2")}
	dir, p := t.TempDir(), port(t)
	config, url := filepath.Join(dir, "haproxy.cfg"), "http://127.0.0.1:"+p
	write(t, config, fmt.Sprintf(haproxyConfig, p, a.dns))
	launch(t, "haproxy", "-db", "-f", config)
	answering := func(ids ...string) func() bool {
		return func() bool {
			seen := map[string]bool{}
			for range 20 {
				seen[get(t, url)] = true
			}
			for _, id := range ids {
				if !seen[id] {
					return false
				}
			}
			return true
		}
	}
	clienttest.Await(t, "HAProxy calls all", answering("old-0", "old-1", "old-2"))

	ctx, end := context.WithCancel(context.Background())
	var calls, lost atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if calls.Add(1); get(t, url) == "" {
					lost.Add(1)
				}
			}
		})
	}
	for i, was := range old {
		id := fmt.Sprintf("new-%d", i)
		begin(id)
		clienttest.Await(t, "HAProxy calls "+id, answering(id))
		if err := was.reg.Drain(clienttest.Within(t, clienttest.Long), clienttest.Long); err != nil {
			t.Error(err)
		}
		was.stop()
	}
	clienttest.Await(t, "HAProxy calls the new ones", answering("new-0", "new-1", "new-2"))
	end()
	callers.Wait()
	if t.Logf("%d calls, %d lost", calls.Load(), lost.Load()); lost.Load() != 0 || calls.Load() == 0 {
		t.Errorf("%d of %d calls were lost", lost.Load(), calls.Load())
	}
}
