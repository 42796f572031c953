package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	ads "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/miekg/dns"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// agent is the program as "fairlead agent", with all its parts.
type agent struct {
	*proc
	t              *testing.T
	dns, http, xds string
	dir            string
}

func startAgent(t *testing.T, c *etcdtest.Cluster, dir string, args ...string) *agent {
	t.Helper()
	args = append([]string{
		"agent", "--endpoints", strings.Join(c.Endpoints(), ","), "--files", dir, "--prometheus",
		filepath.Join(dir, "targets.json"),
		"--dns", "127.0.0.1:0", "--http", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--ttl", "1s",
	}, args...)
	a := &agent{proc: start(t, args...), t: t, dir: dir}
	a.await("targets.json")
	for where, pattern := range map[*string]string{
		&a.dns: `on (\S+), UDP and TCP`, &a.http: `serving (http://\S+)`, &a.xds: `serving xDS on (\S+)`,
	} {
		*where = regexp.MustCompile(pattern).FindStringSubmatch(a.output())[1]
	}
	return a
}

// end stops the agent as systemd does.
func (a *agent) end() {
	a.t.Helper()
	a.signal(syscall.SIGTERM)
	if code := a.wait(); code != 0 {
		a.t.Errorf("it ended with %d:\n%s", code, a.output())
	}
}

// ask makes a request, and returns the answer's status and body; 0 if there is no answer.
func (a *agent) ask(method, path, body string, header ...string) (int, string) {
	a.t.Helper()
	q, err := http.NewRequestWithContext(
		clienttest.Within(a.t, clienttest.Long),
		method,
		a.http+path,
		strings.NewReader(body),
	)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	q.Close = true
	answer, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// instances returns the first addresses of a service's instances by id, from the HTTP API.
func (a *agent) instances(service string) map[string]string {
	a.t.Helper()
	status, text := a.ask("GET", "/v1/services/"+service, "")
	var v struct {
		Instances []struct {
			ID        string
			Addresses []string
		}
	}
	if status != http.StatusOK || json.Unmarshal([]byte(text), &v) != nil {
		return nil
	}
	all := make(map[string]string)
	for _, in := range v.Instances {
		all[in.ID] = in.Addresses[0]
	}
	return all
}

// resolves counts the addresses of a service in DNS; -1 if DNS does not answer.
func (a *agent) resolves(network, service string) int {
	q := new(dns.Msg).SetQuestion(service+".fairlead.internal.", dns.TypeA)
	q.SetEdns0(4096, false)
	answer, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(q, a.dns)
	if err != nil {
		return -1
	}
	return len(answer.Answer)
}

// serves fails the test if a part of the agent does not answer.
func (a *agent) serves(when, service string, instances int) {
	a.t.Helper()
	if status, text := a.ask("GET", "/healthz", ""); status != http.StatusOK {
		a.t.Errorf("%s: /healthz: %d %s", when, status, text)
	}
	clienttest.Await(a.t, when+": HTTP", func() bool { return len(a.instances(service)) == instances })
	for _, network := range []string{"udp", "tcp"} {
		clienttest.Await(
			a.t,
			when+": DNS by "+network,
			func() bool { return a.resolves(network, service) == instances },
		)
	}
	conn := a.dial(a.xds)
	defer conn.Close()
	if err := hello(conn); err != nil {
		a.t.Errorf("%s: xDS: %v", when, err)
	}
}

// hello begins a connection of HTTP/2 and waits for the answer.
func hello(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(clienttest.Long)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	f := http2.NewFramer(conn, conn)
	if err := f.WriteSettings(); err != nil {
		return err
	}
	_, err := f.ReadFrame()
	return err
}

func (a *agent) dial(address string) net.Conn {
	a.t.Helper()
	conn, err := net.DialTimeout("tcp", address, clienttest.Long)
	if err != nil {
		a.t.Fatal(err)
	}
	return conn
}

// resident returns the agent's memory in MiB, for the log.
func (a *agent) resident() string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		return err.Error()
	}
	mib := func(what string) float64 {
		var kb float64
		if m := regexp.MustCompile(what + `:\s+(\d+) kB`).FindSubmatch(text); m != nil {
			_, _ = fmt.Sscan(string(m[1]), &kb) // the pattern matches numbers only
		}
		return kb / 1024
	}
	return fmt.Sprintf("%.1f MiB, of which the program's own file is %.1f", mib("VmRSS"), mib("RssFile"))
}

// rate asks about s0, s1 and so on for two seconds, as eight clients that each ask when they have
// an answer, and says how many answers there were and what they took of the processors.
func (a *agent) rate(services int, qtype uint16) string {
	a.t.Helper()
	const clients, length = 8, 2 * time.Second
	var all sync.WaitGroup
	var answers [clients]int
	begin, ours, its := time.Now(), processorTime(a.t, "self"), processorTime(a.t, a.cmd.Process.Pid)
	for n := range answers {
		all.Go(func() {
			c, err := net.Dial("udp", a.dns)
			if err != nil {
				a.t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(begin.Add(length + clienttest.Long))
			answer := make([]byte, 4096)
			for s := n; time.Since(begin) < length; s++ {
				q := new(dns.Msg).SetQuestion(fmt.Sprintf("s%d.fairlead.internal.", s%services), qtype)
				packet, err := q.SetEdns0(4096, false).Pack()
				if err == nil {
					_, err = c.Write(packet)
				}
				if err == nil {
					_, err = c.Read(answer)
				}
				if err != nil || binary.BigEndian.Uint16(answer[6:]) != 10 {
					a.t.Errorf("answer %x: %v", answer[:12], err)
					return
				}
				answers[n]++
			}
		})
	}
	all.Wait()
	took, sum := time.Since(begin), 0
	for _, n := range answers {
		sum += n
	}
	ours, its = processorTime(a.t, "self")-ours, processorTime(a.t, a.cmd.Process.Pid)-its
	return fmt.Sprintf(
		"%.0f answers/s; the agent takes %.2f of a processor, the clients %.2f; an answer costs the agent %v",
		float64(sum)/took.Seconds(), its.Seconds()/took.Seconds(), ours.Seconds()/took.Seconds(),
		(its / time.Duration(max(sum, 1))).Round(10*time.Nanosecond),
	)
}

// processorTime returns what a process has used of the processors.
func processorTime(t *testing.T, pid any) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%v/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name before may have spaces
	fields := strings.Fields(rest)
	var user, system int64 // in hundredths of a second
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// instance returns the key and text of a record in our format.
func instance(service, id, address string) (string, string) {
	in := &discovery.Instance{Service: service, ID: id, Addresses: []string{address}, Version: "v1", Zone: "east"}
	text, _ := json.Marshal(in) // our own type can be encoded
	return discovery.JSON{}.Key(in), string(text)
}

func put(t testing.TB, c *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := c.Put(clienttest.Within(t, clienttest.Long), key, value); err != nil {
		t.Fatal(err)
	}
}

// 10,000 instances of 1,000 services, with requests for all of them: the test prints the agent's
// memory; the bar is 64 MiB.
func TestAgentOf10000(t *testing.T) {
	const services, each = 1000, 10
	c := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, c.Endpoints()...)
	for s := range services {
		var ops []clientv3.Op
		for i := range each {
			ops = append(
				ops,
				clientv3.OpPut(
					instance(fmt.Sprintf("s%d", s), fmt.Sprint(i), fmt.Sprintf("10.%d.%d.%d:80", s/250, s%250, i)),
				),
			)
		}
		if _, err := client.Txn(clienttest.Within(t, clienttest.Long)).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	a := startAgent(t, c, t.TempDir())
	t.Logf("at its start: %s", a.resident())
	targets := 0
	t.Cleanup(func() { t.Logf("%d targets; it said:\n%s", targets, a.output()) })
	clienttest.Await(t, "the targets", func() bool {
		text, _ := os.ReadFile(filepath.Join(a.dir, "targets.json")) // it is not there yet
		targets = strings.Count(string(text), "__meta_fairlead_id")
		return targets == services*each
	})
	t.Logf("with all as Prometheus' targets: %s", a.resident())
	for s := range services {
		name := fmt.Sprintf("s%d", s)
		clienttest.Await(t, name, func() bool { return a.resolves("udp", name) == each })
	}
	t.Logf("with all asked for by DNS: %s", a.resident())
	for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
		t.Logf("%s: %s", dns.TypeToString[qtype], a.rate(services, qtype))
	}
	for s := range services {
		name := fmt.Sprintf("s%d", s)
		clienttest.Await(t, name, func() bool { return len(a.instances(name)) == each })
	}
	t.Logf("with all asked for over HTTP too: %s", a.resident())
	a.end()
}

// Idle connections, 10,000 at HTTP and DNS and 2,000 at xDS, keep no client out.
func TestAgentIdleConnections(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	put1(t, c, "idle")
	for place, many := range map[string]int{"http": 10_000, "dns": 10_000, "xds": 2000} {
		t.Run(place, func(t *testing.T) {
			a := startAgent(t, c, t.TempDir())
			a.serves("before", "idle", 1)
			at := map[string]string{"http": strings.TrimPrefix(a.http, "http://"), "dns": a.dns, "xds": a.xds}[place]
			var conns []net.Conn
			defer func() {
				for _, c := range conns {
					c.Close()
				}
			}()
			for len(conns) < many {
				conn, err := net.DialTimeout("tcp", at, time.Second)
				if err != nil {
					break // the agent accepts no more of them for now
				}
				conns = append(conns, conn)
			}
			t.Logf("%d connections, %s", len(conns), a.resident())
			a.serves("beside idle connections", "idle", 1)
			a.end()
		})
	}
}

func put1(t testing.TB, c *etcdtest.Cluster, service string) {
	t.Helper()
	key, value := instance(service, "one", "10.0.0.1:80")
	put(t, clienttest.Dial(t, c.Endpoints()...), key, value)
}

// Clients that do not read, of events, of DNS over TCP and of xDS, hold up no other client, and
// cost little. Those of xDS go on asking.
func TestAgentSlowReaders(t *testing.T) {
	const each = 100
	c := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, c.Endpoints()...)
	put1(t, c, "slow")
	a := startAgent(t, c, t.TempDir())
	a.serves("before", "slow", 1)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	slow := func(at string) net.Conn {
		conn := a.dial(at)
		conns = append(conns, conn)
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		return conn
	}
	query, err := new(dns.Msg).SetQuestion("slow.fairlead.internal.", dns.TypeSRV).Pack()
	if err != nil {
		t.Fatal(err)
	}
	query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	for range each {
		fmt.Fprint(
			slow(strings.TrimPrefix(a.http, "http://")),
			"GET /v1/services/slow/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
		)
		d := slow(a.dns)
		_ = d.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		for { // until the agent reads no more, or has closed the connection
			if _, err := d.Write(query); err != nil {
				break
			}
		}
		flood(a.follow("slow"), "slow")
	}
	witness := a.follow("slow")
	big := strings.Repeat("x", 20_000)
	for n := range 100 {
		in := &discovery.Instance{
			Service:   "slow",
			ID:        "one",
			Addresses: []string{"10.0.0.1:80"},
			Metadata:  map[string]string{"n": fmt.Sprint(n, big)},
		}
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		put(t, client, discovery.JSON{}.Key(in), string(text))
	}
	t.Logf("%d slow readers: %s", len(conns)+each, a.resident())
	a.serves("beside slow readers", "slow", 1)
	key, value := instance("slow", "two", "10.0.0.2:80")
	put(t, client, key, value)
	a.serves("a change beside slow readers", "slow", 2)
	for n := 0; n < 2; {
		got, err := witness.Recv()
		if err != nil {
			t.Fatalf("xDS beside slow readers, with %d endpoints: %v", n, err)
		}
		n = endpoints(t, got)
		if err := witness.Send(&ads.DeltaDiscoveryRequest{TypeUrl: got.TypeUrl, ResponseNonce: got.Nonce}); err != nil {
			t.Fatal(err)
		}
	}
	a.end()
}

// follow opens a stream of xDS, on a connection of its own, that follows a service.
func (a *agent) follow(service string) ads.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	a.t.Helper()
	conn, err := grpc.NewClient(a.xds, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	stream, err := ads.NewAggregatedDiscoveryServiceClient(conn).
		DeltaAggregatedResources(clienttest.Within(a.t, clienttest.Long))
	if err != nil {
		a.t.Fatal(err)
	}
	if err := stream.Send(&ads.DeltaDiscoveryRequest{
		TypeUrl: resource.EndpointType, ResourceNamesSubscribe: []string{service},
	}); err != nil {
		a.t.Fatal(err)
	}
	return stream
}

// flood asks for a service again and again, without reading an answer, until the stream ends.
func flood(stream ads.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, service string) {
	names := []string{service}
	leave := &ads.DeltaDiscoveryRequest{TypeUrl: resource.EndpointType, ResourceNamesUnsubscribe: names}
	join := &ads.DeltaDiscoveryRequest{TypeUrl: resource.EndpointType, ResourceNamesSubscribe: names}
	go func() {
		for stream.Send(leave) == nil && stream.Send(join) == nil {
		}
	}()
}

// endpoints counts those of the first service in an answer.
func endpoints(t *testing.T, answer *ads.DeltaDiscoveryResponse) (n int) {
	t.Helper()
	if len(answer.Resources) == 0 {
		return 0
	}
	var all endpoint.ClusterLoadAssignment
	if err := answer.Resources[0].Resource.UnmarshalTo(&all); err != nil {
		t.Fatal(err)
	}
	for _, zone := range all.Endpoints {
		n += len(zone.LbEndpoints)
	}
	return n
}

// Instances come and go a thousand times a second: at the end the agent has the same ones as etcd.
func TestAgentChurn(t *testing.T) {
	const rate, services, length = 1000, 20, 5 * time.Second
	c := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, c.Endpoints()...)
	a := startAgent(t, c, t.TempDir())
	for s := range services {
		key, value := instance(fmt.Sprint("churn", s), "stays", "10.1.0.1:80")
		put(t, client, key, value)
		a.serves("before", fmt.Sprint("churn", s), 1)
	}
	var writers sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var made [8]int
	for w := range made {
		writers.Go(func() {
			tick := time.NewTicker(time.Second * time.Duration(len(made)) / rate)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				key, value := instance(fmt.Sprint("churn", n%services), fmt.Sprint(w, "-", n/2%40), "10.2.0.1:80")
				if n/2%2 == 0 {
					_, _ = client.Put(
						clienttest.Within(t, clienttest.Long),
						key,
						value,
					) // the instances that are left are compared then
				} else {
					_, _ = client.Delete(clienttest.Within(t, clienttest.Long), key)
				}
				made[w]++
				<-tick.C
			}
		})
	}
	writers.Wait()
	changes := 0
	for _, n := range made {
		changes += n
	}
	for s := range services {
		service := fmt.Sprint("churn", s)
		key, _ := instance(service, "", "10.0.0.1:80")
		got, err := client.Get(
			clienttest.Within(t, clienttest.Long),
			key,
			clientv3.WithPrefix(),
			clientv3.WithCountOnly(),
		)
		if err != nil {
			t.Fatal(err)
		}
		clienttest.Await(t, service, func() bool { return len(a.instances(service)) == int(got.Count) })
	}
	t.Logf("%d changes in %v; %s", changes, length, a.resident())
	a.end()
}

// The token appears in nothing that the agent says or writes, whatever a client does with it.
func TestAgentTokenLeaksNowhere(t *testing.T) {
	const token, wrong = "5f0c3a7e9b1d2c4f6a8e", "0badc0de0badc0de0bad"
	c := etcdtest.Start(t, etcdtest.Options{})
	dir := t.TempDir()
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte(token+" leak*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, c, dir, "--tokens", tokens)
	const body = `{"addresses":["10.0.0.1:80"],"ttl":30}`
	var answers strings.Builder
	try := func(want int, method, path, body string, header ...string) {
		t.Helper()
		status, text := a.ask(method, path, body, header...)
		if want != 0 && status != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, status, text, want)
		}
		answers.WriteString(text)
	}
	try(201, "PUT", "/v1/services/leak/instances/one", body, "Authorization", "Bearer "+token)
	try(403, "PUT", "/v1/services/other/instances/one", body, "Authorization", "Bearer "+token)
	try(401, "PUT", "/v1/services/leak/instances/two", body, "Authorization", "Bearer "+wrong)
	try(401, "PUT", "/v1/services/leak/instances/two", body, "Authorization", "Basic "+token)
	try(400, "PUT", "/v1/services/leak/instances/two", "{", "Authorization", "Bearer "+token)
	try(0, "GET", "/v1/services?token="+token, "", "Authorization", "Bearer "+token)
	try(0, "GET", "/nowhere/"+wrong, "", "Authorization", "Bearer "+token)
	for _, text := range []string{
		"GET / HTTP/9.9\r\nAuthorization: Bearer " + token + "\r\n\r\n", "Authorization: Bearer " + token + "\r\n\r\n",
	} {
		conn := a.dial(strings.TrimPrefix(a.http, "http://"))
		fmt.Fprint(conn, text)
		_ = conn.SetReadDeadline(time.Now().Add(clienttest.Long))
		got, _ := io.ReadAll(bufio.NewReader(conn)) // the agent closes it
		answers.Write(got)
		conn.Close()
	}
	// The file changes to an invalid one, which is reported; the token stays valid until it is
	// removed from the file.
	if err := os.WriteFile(tokens, []byte(token+"\n\x00 "+wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the file is read again", func() bool {
		status, text := a.ask("PUT", "/v1/services/leak/instances/one", body, "Authorization", "Bearer "+token)
		answers.WriteString(text)
		return status != 201 && status != 200 || strings.Contains(a.output(), "tokens")
	})
	for _, path := range []string{"/metrics", "/healthz", "/v1/services/leak", "/v1/prometheus?service=leak"} {
		try(0, "GET", path, "")
	}
	a.end()
	where := map[string]string{"its output": a.output(), "its answers": answers.String()}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		where[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range where {
		if strings.Contains(text, token) || strings.Contains(text, wrong) && name != "its answers" {
			t.Errorf("a token is in %s:\n%s", name, text)
		}
	}
}

// Files of an earlier run that were cut short, at any place, or are of another version, stop no
// agent: it starts while etcd is away, and is up to date when etcd is back.
func TestAgentCutFiles(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	put1(t, c, "cut")
	dir := t.TempDir()
	a := startAgent(t, c, dir)
	a.serves("before", "cut", 1)
	var files []string
	clienttest.Await(t, "files", func() bool {
		files, _ = filepath.Glob(filepath.Join(dir, "services", "*.json")) // they are not all there yet
		return len(files) > 0
	})
	a.end()
	whole := make(map[string][]byte)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		whole[f] = text
	}
	c.Members()[0].Kill()
	for name, damage := range map[string]func(text []byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"a byte less":     func(text []byte) []byte { return text[:len(text)-1] },
		"half":            func(text []byte) []byte { return text[:len(text)/2] },
		"twice":           func(text []byte) []byte { return append(append([]byte{}, text...), text...) },
		"zeros":           func(text []byte) []byte { return make([]byte, len(text)) },
		"another version": func([]byte) []byte { return []byte(`{"version":99,"format":"else"}`) },
		"whole":           func(text []byte) []byte { return text },
	} {
		for f, text := range whole {
			if err := os.WriteFile(f, damage(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b := startAgent(t, c, dir)
		clienttest.Await(t, name+": an answer", func() bool {
			status, text := b.ask("GET", "/v1/services/cut", "")
			switch {
			case name == "whole":
				return status == http.StatusOK && strings.Contains(text, "10.0.0.1:80")
			case status == http.StatusOK && !strings.Contains(text, "10.0.0.1:80"):
				t.Errorf("%s: it is sure that there is nothing: %s", name, text)
			}
			return status == http.StatusServiceUnavailable || status == http.StatusOK
		})
		b.end()
	}
	if err := c.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	for f := range whole {
		if err := os.WriteFile(f, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := startAgent(t, c, dir)
	b.serves("etcd is back", "cut", 1)
	b.end()
}
