package reach

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// documented returns the program in docs/services.md that begins with a text, with its places
// replaced.
func documented(t *testing.T, language, begins string, places ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "services.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n"+begins)
	program, _, ends := strings.Cut(rest, "```")
	if !found || !ends {
		t.Fatalf("docs/services.md has no such program in %s", language)
	}
	for i := 0; i+1 < len(places); i += 2 {
		if !strings.Contains(begins+program, places[i]) {
			t.Fatalf("%q is not in it", places[i])
		}
	}
	return strings.NewReplacer(places...).Replace(begins + program)
}

// script runs a program and returns what it printed.
func script(t *testing.T, name string, args ...string) string {
	t.Helper()
	var complaints strings.Builder
	cmd := exec.CommandContext(clienttest.Within(t, 2*clienttest.Long), name, args...)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, &complaints)
	}
	return string(out)
}

// The shell lines of the documents do what they promise: an instance is registered, is picked, and
// is gone.
func TestCurl(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, c.Endpoints()...)
	socket := filepath.Join(t.TempDir(), "s")
	a := startAgent(t, c, "--socket", socket)
	clienttest.Await(t, "it serves", func() bool { return strings.Contains(a.said(), "serving unix:") })
	lines := documented(t, "sh", `agent="curl`, "/run/fairlead.sock", socket)
	key := discovery.JSON{}.Key(&discovery.Instance{Service: "orders", ID: "orders-1"})
	there := func() bool {
		got, err := client.Get(clienttest.Within(t, clienttest.Long), key)
		return err == nil && len(got.Kvs) == 1
	}
	until, drain, _ := strings.Cut(lines, `$agent -X POST "$orders/instances/orders-1/drain`)
	// An instance that was registered just before may not be in view yet, so a script picks again.
	until = strings.Replace(until, "$agent $orders/pick", "until $agent $orders/pick; do sleep 0.1; done", 1)
	if out := script(t, "sh", "-ec", until); !strings.Contains(out, "10.0.0.7:8080") || !there() {
		t.Errorf("it picked %s; in etcd: %v", out, there())
	}
	first, _, _ := strings.Cut(lines, "\n")
	script(t, "sh", "-ec", first+"\n"+`$agent -X POST "$orders/instances/orders-1/drain`+drain)
	if there() {
		t.Error("it is there after its drain")
	}
}

// The PHP lines of the documents call an instance.
func TestPHP(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, c.Endpoints()...)
	a := startAgent(t, c, "--http", "127.0.0.1:0")
	at, _ := backend(t, "one")
	register(t, client, discovery.Instance{Service: "orders", ID: "one", Addresses: []string{at}})
	clienttest.Await(
		t,
		"it is in view",
		func() bool { return strings.Contains(get(t, a.http+"/v1/services/orders/pick"), at) },
	)
	file := filepath.Join(t.TempDir(), "call.php")
	write(t, file, documented(t, "php", "<?php", "http://127.0.0.1:2390", a.http))
	if out := script(t, "php", file); out != "one" {
		t.Errorf("it printed %q", out)
	}
}
