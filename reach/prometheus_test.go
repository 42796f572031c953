package reach

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// target is what Prometheus knows of a target.
type target struct {
	DiscoveredLabels map[string]string `json:"discoveredLabels"`
	Labels           map[string]string `json:"labels"`
	ScrapePool       string            `json:"scrapePool"`
	LastScrape       time.Time         `json:"lastScrape"`
}

const prometheusConfig = `
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: file
    file_sd_configs:
      - files: [%[1]q]
    relabel_configs: &relabel
      - source_labels: [__meta_fairlead_service]
        target_label: service
      - source_labels: [__meta_fairlead_version]
        target_label: version
      - source_labels: [__meta_fairlead_tags]
        regex: .*,blue,.*
        target_label: colour
        replacement: blue
  - job_name: http
    http_sd_configs:
      - url: %[2]s/v1/prometheus?service=orders
        refresh_interval: 1s
    relabel_configs: *relabel
`

// Debian's Prometheus has exactly the instances as targets, from the file and over HTTP. It sees
// changes within its interval, and keeps its targets while etcd is away, even if the agent is
// restarted meanwhile.
func TestPrometheus(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	dir := t.TempDir()
	file, listen := filepath.Join(dir, "targets.json"), "127.0.0.1:"+port(t)
	args := []string{
		"--http",
		listen,
		"--files",
		filepath.Join(dir, "agent"),
		"--prometheus",
		file,
		"--prometheus-service",
		"orders",
	}
	a := startAgent(t, c, args...)
	at, _ := backend(t, "one")
	register(
		t,
		client,
		discovery.Instance{Service: "orders", ID: "one", Addresses: []string{at}, Version: "v1", Zone: "east",
			Tags: []string{"blue"}, Metadata: map[string]string{"team": "x"}},
	)
	config, web := filepath.Join(dir, "prometheus.yml"), "127.0.0.1:"+port(t)
	write(t, config, fmt.Sprintf(prometheusConfig, file, a.http))
	launch(
		t,
		"prometheus",
		"--config.file="+config,
		"--web.listen-address="+web,
		"--storage.tsdb.path="+filepath.Join(dir, "data"),
	)

	targets := func() (byPool map[string]map[string]target) {
		var answer struct {
			Data struct {
				ActiveTargets []target `json:"activeTargets"`
			} `json:"data"`
		}
		byPool = map[string]map[string]target{"file": {}, "http": {}}
		if decode(t, get(t, "http://"+web+"/api/v1/targets?state=active"), &answer) {
			for _, one := range answer.Data.ActiveTargets {
				byPool[one.ScrapePool][one.DiscoveredLabels["__address__"]] = one
			}
		}
		return byPool
	}
	both := func(addresses ...string) bool {
		for _, got := range targets() {
			if len(got) != len(addresses) {
				return false
			}
			for _, address := range addresses {
				if _, ok := got[address]; !ok {
					return false
				}
			}
		}
		return true
	}
	clienttest.Await(t, "Prometheus has the instance", func() bool { return both(at) })
	for pool, list := range targets() {
		got := map[string]string{}
		for k, v := range list[at].DiscoveredLabels {
			if strings.HasPrefix(k, "__meta_fairlead_") {
				got[strings.TrimPrefix(k, "__meta_fairlead_")] = v
			}
		}
		want := map[string]string{
			"service":       "orders",
			"id":            "one",
			"address":       at,
			"version":       "v1",
			"zone":          "east",
			"weight":        "10",
			"draining":      "false",
			"tags":          ",blue,",
			"metadata_team": "x",
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: labels %v, want %v", pool, got, want)
		}
		want = map[string]string{"instance": at, "job": pool, "service": "orders", "version": "v1", "colour": "blue"}
		if !maps.Equal(list[at].Labels, want) {
			t.Errorf("%s: %v, want %v", pool, list[at].Labels, want)
		}
	}
	second, _ := backend(t, "two")
	register(t, client, discovery.Instance{Service: "orders", ID: "two", Addresses: []string{second}})
	began := time.Now()
	clienttest.Await(t, "Prometheus has the second", func() bool { return both(at, second) })
	t.Logf("Prometheus had the second instance after %v, in both jobs", time.Since(began).Round(10*time.Millisecond))

	c.Members()[0].Kill()
	clienttest.Await(
		t,
		"the agent knows that etcd is away",
		func() bool { return strings.Contains(get(t, a.http+"/healthz"), `"stale"`) },
	)
	scraped := func(what string) {
		t.Helper()
		from := time.Now().Add(3 * time.Second) // three times its interval of asking for targets
		clienttest.Await(t, "Prometheus goes on: "+what, func() bool {
			if !both(at, second) {
				t.Fatalf("%s: targets %v", what, targets())
			}
			for _, list := range targets() {
				for _, one := range list {
					if one.LastScrape.Before(from) {
						return false
					}
				}
			}
			return true
		})
	}
	scraped("while etcd is away")
	a.end(syscall.SIGKILL)
	scraped("while the agent is away too")
	startAgent(t, c, args...)
	scraped("with an agent that has never seen etcd")
}
