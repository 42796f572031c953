package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

type health struct {
	At, Every int64
	Findings  []struct {
		Rule, Severity, Title, What, Means, Do string
		Members                                []string
		Stops, Earlier                         bool
		Since                                  int64
		Mends                                  []struct{ Action, Member, Text string }
	}
}

// rules lists the rules of the findings, with the members, without findings that depend on the load
// of the machine.
func (h health) rules() string {
	var list []string
	for _, f := range h.Findings {
		if f.Rule != "slow" && f.Rule != "disk" && f.Rule != "elections" {
			list = append(list, strings.Join(append([]string{f.Rule}, f.Members...), " "))
		}
	}
	return strings.Join(list, "; ")
}

// awaitHealth reads events until one has these findings.
func awaitHealth(t *testing.T, events <-chan sse, rules string) health {
	t.Helper()
	last := ""
	for end := time.Now().Add(clienttest.Long); time.Now().Before(end); {
		if e := clienttest.Receive(t, "a look for "+rules+", not "+last, events); e.name == "health" {
			h := decodeTo[health](t, e.data)
			if last = h.rules(); last == rules {
				return h
			}
		}
	}
	t.Fatalf("%q was not found, but %q", rules, last)
	return health{}
}

// TestHealth: the findings of a real cluster, from a dead member to a lost quorum and back, and
// when they began.
func TestHealth(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	p := serve(t, clienttest.Dial(t, cluster.Endpoints()...), console.WithToken(secret), console.WithMetrics(nil))
	p.signIn()
	events, stop := p.listen("api/stream?overview=1")
	defer stop()
	before := awaitHealth(t, events, "")
	if before.Every != 5000 {
		t.Errorf("%+v", before)
	}
	followers := cluster.Followers(t)
	dead, frozen := followers[0], followers[1]
	id, err := dead.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	dead.Kill()
	h := awaitHealth(t, events, "silent "+dead.Name)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
	f := h.Findings[0]
	// An examination that had begun when the member died may have found it dead.
	if f.Title != "Member down" || f.Stops || f.Earlier || f.Since <= before.At || f.Means == "" ||
		len(f.Mends) != 1 ||
		f.Mends[0].Member != fmt.Sprintf("%x", id) {
		t.Errorf("%+v", f)
	}
	if again := awaitHealth(t, events, "silent "+dead.Name); again.At == h.At || again.Findings[0].Since != f.Since {
		t.Errorf("%+v, then %+v", f, again)
	}
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	names := []string{dead.Name, frozen.Name}
	if names[0] > names[1] {
		names[0], names[1] = names[1], names[0]
	}
	if f := awaitHealth(t, events, "no-quorum "+strings.Join(names, " ")).Findings[0]; !f.Stops ||
		f.Title != "No quorum" ||
		!strings.Contains(f.Means, "writes are refused") {
		t.Errorf("%+v", f)
	}
	if err := frozen.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := dead.Restart(); err != nil {
		t.Fatal(err)
	}
	awaitHealth(t, events, "")
	// The past has it.
	var past struct {
		At      []int64
		Changes []*float64
		Size    []*float64
		Members []struct{ Answer []*float64 }
		Events  []struct{ Kind, Text string }
	}
	p.get("api/memory?span=hour", &past)
	kinds := make(map[string]bool)
	for _, e := range past.Events {
		kinds[e.Kind+" "+strings.SplitN(e.Text, ":", 2)[0]] = true
	}
	if len(past.At) == 0 || len(past.Members) != 3 || past.Size[0] == nil || *past.Size[0] <= 0 ||
		!kinds["begun Member down"] ||
		!kinds["begun No quorum"] ||
		!kinds["restart "+dead.Name+" restarted"] {
		t.Errorf("%+v", past)
	}
	p.refused("GET", "api/memory?span=year", nil, http.StatusBadRequest, "bad_request")
	// A new page gets the latest findings, which are shared by all.
	other, stop2 := p.listen("api/stream?overview=1")
	defer stop2()
	awaitHealth(t, other, "")
	next := awaitHealth(t, other, "").At
	at := int64(0)
	for at < next {
		at = awaitHealth(t, events, "").At
	}
	if at != next {
		t.Errorf("one page got the findings of %d, the other did not, but those of %d", next, at)
	}
}

// TestHealthOfUsers: the console's own client has no permissions here. Every user sees the
// findings, and only root gets the operations against them.
func TestHealthOfUsers(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Args: []string{"--quota-backend-bytes=200000"}})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	// etcd knows its size once it has committed, every 100 ms.
	clienttest.Await(t, "a full database", func() bool {
		_, err := client.Put(clienttest.Within(t, clienttest.Long), "fill", strings.Repeat("x", 20000))
		return err != nil
	})
	withUsers(t, client)
	p := serve(
		t,
		client,
		console.WithLogin(
			console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()}),
		),
	)
	for _, u := range []struct {
		name, password string
		operates       bool
	}{{"ann", "a", false}, {"root", "r", true}} {
		p.signInWith(map[string]string{"user": u.name, "password": u.password})
		var me struct{ Operates bool }
		if p.get("api/session", &me); me.Operates != u.operates {
			t.Errorf("%s: %+v", u.name, me)
		}
		events, stop := p.listen("api/stream?overview=1")
		h := awaitHealth(t, events, "no-space "+cluster.Members()[0].Name)
		if f := h.Findings[0]; len(f.Mends) != 3 || f.Mends[2].Action != "disarm" || !f.Stops {
			t.Errorf("%+v", f)
		}
		stop()
	}
}

// TestCertificatesThatEnd: they are found with TLS, if the console may read the members' metrics.
func TestCertificatesThatEnd(t *testing.T) {
	auth := etcdtest.NewTLS(t)
	auth.Issue(
		t,
		"server",
		etcdtest.Certificate{
			NotBefore: time.Now().Add(-100 * 24 * time.Hour),
			NotAfter:  time.Now().Add(24 * time.Hour),
		},
	)
	cluster := etcdtest.Start(t, etcdtest.Options{TLS: auth})
	client, err := clientv3.New(
		clientv3.Config{Endpoints: cluster.Endpoints(), TLS: auth.ClientConfig(t), Logger: zap.NewNop()},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := serve(t, client, console.WithToken(secret), console.WithMetrics(auth.ClientConfig(t)))
	p.signIn()
	events, stop := p.listen("api/stream?overview=1")
	defer stop()
	awaitHealth(t, events, "certificate "+cluster.Members()[0].Name)
}
