package reach

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// BenchmarkAgentMemory is what the agent takes that serves DNS, HTTP and Prometheus' file with 10,000 instances of 1,000 services, all of
// which are asked for: a report.
func BenchmarkAgentMemory(b *testing.B) {
	const services, each = 1000, 10
	c, err := etcdtest.StartMain(etcdtest.Options{Members: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Stop()
	client := clienttest.Dial(b, c.Endpoints()...)
	ctx := clienttest.Within(b, 4*clienttest.Long)
	for i := range services {
		var ops []clientv3.Op
		for j := range each {
			in := discovery.Instance{Service: fmt.Sprintf("service-%d", i), ID: fmt.Sprintf("instance-%d", j), Version: "v1.2.3", Zone: "east", Tags: []string{"blue"},
				Addresses: []string{fmt.Sprintf("10.%d.%d.%d:8080", i/250, i%250, j)}, Metadata: map[string]string{"team": "orders"}}
			value, err := discovery.JSON{}.Marshal(&in)
			if err != nil {
				b.Fatal(err)
			}
			ops = append(ops, clientv3.OpPut(discovery.JSON{}.Key(&in), string(value)))
		}
		if _, err := client.Txn(ctx).Then(ops...).Commit(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		a := startAgent(b, c, "--http", "127.0.0.1:0", "--dns", "127.0.0.1:0", "--prometheus", b.TempDir()+"/targets.json")
		clienttest.Await(b, "it has all instances", func() bool { return strings.Contains(get(b, a.http+"/metrics"), "fairlead_agent_instances 10000") })
		if n := strings.Count(get(b, a.http+"/v1/prometheus"), `"targets"`); n != services*each {
			b.Fatalf("%d targets", n)
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
		if err != nil {
			b.Fatal(err)
		}
		for name, unit := range map[string]string{"VmRSS": "MiB", "VmHWM": "MiB-at-most"} {
			m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
			kb, err := strconv.Atoi(string(m[1]))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(kb)/1024, unit)
		}
	}
}
