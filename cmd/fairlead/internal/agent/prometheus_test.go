package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Prometheus gets exactly these targets, over HTTP and in the file, and keeps them while etcd is
// away.
func TestPrometheus(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	dir := t.TempDir()
	file := filepath.Join(dir, "targets.json")
	options := func(o *Options) {
		o.Files, o.PrometheusFile, o.PrometheusServices = dir, file, []string{t.Name() + "-*"}
	}
	client := clienttest.Dial(t, c.Endpoints()...)
	r := start(t, client, options)
	a, b := t.Name()+"-a", t.Name()+"-b"
	r.want(
		201,
		nil,
		"PUT",
		instance(a, "one"),
		`{"addresses":["https://one.example.com/metrics","10.0.0.1:80"],"version":"v1","zone":"east","weight":3,"tags":["blue","green"],"metadata":{"team.x":"a","team-x":"b","é":"c"},"ttl":600}`,
	)
	r.want(201, nil, "PUT", instance(b, "two"), `{"addresses":["[::1]:9100"],"ttl":600}`)
	r.want(201, nil, "PUT", instance(t.Name(), "other"), `{"addresses":["10.0.0.9:80"],"ttl":600}`)
	one := `{"targets":["one.example.com:443"],"labels":{` +
		`"__meta_fairlead_address":"https://one.example.com/metrics","__meta_fairlead_draining":"false","__meta_fairlead_id":"one",` +
		`"__meta_fairlead_metadata__":"c","__meta_fairlead_metadata_team_x":"b","__meta_fairlead_service":"` + a +
		`",` +
		`"__meta_fairlead_tags":",blue,green,","__meta_fairlead_version":"v1","__meta_fairlead_weight":"3","__meta_fairlead_zone":"east"}}`
	two := `{"targets":["[::1]:9100"],"labels":{"__meta_fairlead_address":"[::1]:9100","__meta_fairlead_draining":"false",` +
		`"__meta_fairlead_id":"two","__meta_fairlead_service":"` + b + `","__meta_fairlead_weight":"10"}}`
	both, query := "["+one+","+two+"]", "/v1/prometheus?service="+b+"&service="+t.Name()+"-*"
	answers := func(query string) string {
		_, text := r.call("GET", query, "")
		return strings.ReplaceAll(text, "\n", "")
	}
	clienttest.Await(t, "both are targets", func() bool { return answers(query) == both })
	if got := answers(query + "&filter=v1"); got != "["+one+"]" {
		t.Errorf("%s", got)
	}
	clienttest.Await(t, "all are targets", func() bool { // the list of services may be a second old
		return strings.Count(answers("/v1/prometheus"), `"targets"`) == 3
	})
	if got := answers("/v1/prometheus?service=nobody"); got != "[]" {
		t.Errorf("%s", got)
	}
	inFile := func(t *testing.T) string {
		text, _ := os.ReadFile(file)
		return strings.NewReplacer("\n", "", " ", "", "\t", "").Replace(string(text))
	}
	clienttest.Await(t, "both are in the file", func() bool { return inFile(t) == both })
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", info, err)
	}
	if err := discovery.Drain(clienttest.Within(t, clienttest.Long), client, discovery.JSON{}, b, "two"); err != nil {
		t.Fatal(err)
	}
	both = strings.Replace(both, two, strings.Replace(two, `"false"`, `"true"`, 1), 1)
	clienttest.Await(t, "the file says that one drains", func() bool { return inFile(t) == both })

	c.Members()[0].Kill()
	var h healthAnswer
	clienttest.Await(
		t,
		"the agent knows that etcd is away",
		func() bool { r.want(200, &h, "GET", "/healthz", ""); return h.Stale >= 2 },
	)
	if got := answers(query); got != both {
		t.Errorf("without etcd: %s", got)
	}
	r.stop()
	client.Close()
	r = start(t, clienttest.Dial(t, c.Endpoints()...), options)
	r.want(503, nil, "GET", query, "") // so that Prometheus keeps its targets
	clienttest.Await(
		t,
		"it answers for services with a name",
		func() bool { return answers("/v1/prometheus?service="+a+"&service="+b) == both },
	)
	if got := inFile(t); got != both {
		t.Errorf("in the file, after a restart without etcd: %s", got)
	}
	if err := c.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "etcd is back", func() bool { return answers(query) == both })
	r.want(204, nil, "DELETE", instance(a, "one"), "")
	clienttest.Await(
		t,
		"it has left the file",
		func() bool { return inFile(t) == strings.Replace(both, one+",", "", 1) },
	)
}

// A file that cannot be written is reported once, and is written as soon as it can be.
func TestPrometheusFileUnwritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "targets.json")
	r := start(
		t,
		clienttest.Shared(t),
		func(o *Options) { o.PrometheusFile, o.PrometheusServices = file, []string{t.Name()} },
	)
	clienttest.Await(t, "it is written", func() bool { text, _ := os.ReadFile(file); return string(text) == "[]\n" })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	r.want(201, nil, "PUT", instance(t.Name(), "one"), `{"addresses":["10.0.0.1:80"]}`)
	clienttest.Await(t, "it is reported", func() bool { return strings.Contains(r.log(), "stay as they were") })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(
		t,
		"it is written again",
		func() bool { text, _ := os.ReadFile(file); return strings.Contains(string(text), "10.0.0.1:80") },
	)
	if n := strings.Count(r.log(), "stay as they were"); n != 1 {
		t.Errorf("it is reported %d times: %s", n, r.log())
	}
	r.want(204, nil, "DELETE", instance(t.Name(), "one"), "")
	if _, err := Listen(clienttest.Shared(t),
		Options{Format: discovery.JSON{}, Base: "x", PrometheusFile: filepath.Join(dir, "none", "f")}); err == nil {
		t.Error("a directory that does not exist is taken")
	}
}
