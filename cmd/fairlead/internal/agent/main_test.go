package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

const secret = "0123456789abcdef-secret"

// running is an agent under test, and a client of it.
type running struct {
	t     *testing.T
	agent *Agent
	base  string
	http  *http.Client
	doc   *documented
	token string
	stop  func() // ends it and waits

	mu   sync.Mutex
	said strings.Builder
}

// start runs an agent on loopback, with a token for all services whose names begin with the name of
// the test.
func start(t *testing.T, client *clientv3.Client, change func(*Options)) *running {
	t.Helper()
	tokens := filepath.Join(t.TempDir(), "tokens")
	text := fmt.Sprintf("# who may write what\n%s %s*\n%s\n", secret, t.Name(), "only-for-reading-0123")
	if err := os.WriteFile(tokens, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, doc: newDocumented(t), token: secret}
	o := Options{
		Format:    discovery.JSON{},
		Base:      discovery.DefaultBase,
		HTTP:      "127.0.0.1:0",
		TokenFile: tokens,
		Say: func(line string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			fmt.Fprintln(&r.said, line)
		},
	}
	if change != nil {
		change(&o)
	}
	var err error
	if r.agent, err = Listen(client, o); err != nil {
		t.Fatal(err)
	}
	if o.HTTP != "" {
		r.base = "http://" + r.agent.servers[0].listener.Addr().String()
	}
	transport := &http.Transport{}
	r.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.agent.Serve(ctx) }()
	r.stop = sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := clienttest.Receive(t, "the agent's end", done); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

// call makes a request, checks the exchange with the document, and returns the answer.
func (r *running) call(method, path, body string, header ...string) (int, string) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(
		clienttest.Within(r.t, clienttest.Long),
		method,
		r.base+path,
		strings.NewReader(body),
	)
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		q.Header.Set("Authorization", "Bearer "+r.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if q.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			q.Host = header[i+1]
		}
	}
	a, err := r.http.Do(q)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	r.doc.check(r.t, q, []byte(body), a, text)
	return a.StatusCode, string(bytes.TrimSpace(text))
}

// want makes a call that must be answered with a status, and decodes the answer.
func (r *running) want(status int, into any, method, path, body string, header ...string) {
	r.t.Helper()
	got, text := r.call(method, path, body, header...)
	if got != status {
		r.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, got, text, status)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			r.t.Fatalf("%s: %v", text, err)
		}
	}
}

// ids returns the instances of a service that the agent knows.
func (r *running) ids(service string) (ids []string) {
	r.t.Helper()
	var v viewAnswer
	r.want(200, &v, "GET", "/v1/services/"+service, "")
	for _, in := range v.Instances {
		ids = append(ids, in.ID)
	}
	return ids
}

// instance returns the path of an instance.
func instance(service, id string) string { return "/v1/services/" + service + "/instances/" + id }

// key returns the key of an instance in our format.
func key(service, id string) string {
	return discovery.JSON{}.Key(&discovery.Instance{Service: service, ID: id})
}

// exists reports whether etcd has a record.
func exists(t *testing.T, client *clientv3.Client, key string) bool {
	t.Helper()
	a, err := client.Get(clienttest.Within(t, clienttest.Long), key)
	if err != nil {
		t.Fatal(err)
	}
	return len(a.Kvs) > 0
}
