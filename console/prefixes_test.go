package console_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// prefixReport is the answer of api/prefixes.
type prefixReport struct {
	Hot struct {
		Seconds, Rate, Others float64
		Prefixes              []struct {
			Prefix []byte
			Rate   float64
		}
		Error string
	}
	LargeError string
	Large      *struct {
		At, Keys         int64
		Under            []byte
		Measured, Single int
		All              bool
		Prefixes         []struct {
			Prefix      []byte
			Keys, Bytes int64
			Read        int
		}
	}
}

// TestHotAndLargePrefixes of a real cluster: changes are counted, and keys are measured on request.
func TestHotAndLargePrefixes(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{}) // its own cluster, since all keys count
	client := clienttest.Dial(t, cluster.Endpoints()...)
	p := serve(t, client, console.WithToken(secret), console.WithReadOnly())
	p.signIn()
	keys := make(map[string]string)
	for i := range 500 {
		keys[fmt.Sprintf("/app/small/%04d", i)] = "v"
	}
	for i := range 20 {
		keys[fmt.Sprintf("/app/large/%04d", i)] = strings.Repeat("x", 10_000)
	}
	keys["/app/alone"] = ""
	keys["/app/\x1b<b>\u202e/k"] = "hostile"
	if _, err := client.PutAll(t.Context(), maps.All(keys)); err != nil {
		t.Fatal(err)
	}
	var r prefixReport
	if p.get("api/prefixes", &r); r.Large != nil || len(r.Hot.Prefixes) != 0 {
		t.Errorf("before anybody has measured: %+v", r)
	}
	p.get("api/prefixes?weigh=1", &r)
	l := r.Large
	if l == nil || string(l.Under) != "/app/" || l.Keys != 522 || l.Measured != 3 || l.Single != 1 || !l.All ||
		len(l.Prefixes) != 3 {
		t.Fatalf("%+v", l)
	}
	large, small := l.Prefixes[0], l.Prefixes[1]
	if string(large.Prefix) != "/app/large/" || large.Keys != 20 || large.Bytes < 200_000 || large.Bytes > 210_000 ||
		large.Read != 8 {
		t.Errorf("%+v", large)
	}
	if string(small.Prefix) != "/app/small/" || small.Keys != 500 || small.Bytes != 500*int64(len("/app/small/0000v")) {
		t.Errorf("%+v", small)
	}
	clienttest.Await(t, "changes are counted by prefix", func() bool {
		for i := range 5 {
			put(t, client, fmt.Sprint("/app/small/", i), "w")
		}
		put(t, client, "/app/large/0001", "w")
		r = prefixReport{}
		p.get("api/prefixes", &r)
		hot := r.Hot.Prefixes
		return len(hot) == 2 && string(hot[0].Prefix) == "/app/small/" && string(hot[1].Prefix) == "/app/large/" &&
			hot[0].Rate > 4*hot[1].Rate && r.Hot.Rate > hot[0].Rate && r.Large != nil
	})
}

// TestPrefixesOfALimitedUser: a user who may not read all keys gets the reason, and no data of
// other users.
func TestPrefixesOfALimitedUser(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	put(t, client, "secret/k", "v")
	withUsers(t, client)
	c, err := console.New(client, console.WithLogin(
		console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()})))
	if err != nil {
		t.Fatal(err)
	}
	root := pageOf(t, c)
	root.signInWith(map[string]string{"user": "root", "password": "r"})
	var r prefixReport
	root.get("api/prefixes?weigh=1", &r)
	if r.Large == nil || r.Large.Keys < 1 {
		t.Errorf("root: %+v", r)
	}
	ann := &page{t: t, url: root.url, client: root.client, header: make(http.Header)}
	ann.signInWith(map[string]string{"user": "ann", "password": "a"})
	r = prefixReport{}
	if ann.get("api/prefixes?weigh=1", &r); r.Large != nil || !strings.Contains(r.LargeError, "permission denied") {
		t.Errorf("ann: %+v", r)
	}
	clienttest.Await(t, "ann gets the reason why nothing is counted", func() bool {
		r = prefixReport{}
		ann.get("api/prefixes", &r)
		return strings.Contains(r.Hot.Error, "permission denied") && r.Large == nil && len(r.Hot.Prefixes) == 0
	})
}

// TestTimeline: members that join and leave, and changes through the console, beside the findings
// of a real cluster.
func TestTimeline(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	events, stop := p.listen("api/stream?overview=1") // with it an examination is made every five seconds
	defer stop()
	go func() {
		for range events {
		}
	}()
	what := func() string {
		var past struct{ Events []struct{ Kind, Text string } }
		p.get("api/memory?span=hour", &past)
		text := ""
		for _, e := range past.Events {
			text += e.Kind + " " + e.Text + "\n"
		}
		return text
	}
	clienttest.Await(t, "the first examination", func() bool {
		var past struct{ At []int64 }
		p.get("api/memory", &past)
		return len(past.At) > 0
	})
	ctx := clienttest.Within(t, clienttest.Long)
	added, err := client.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("%x", added.Member.ID)
	clienttest.Await(t, "a member joins", func() bool {
		return strings.Contains(what(), "joined") && strings.Contains(what(), id+" joined the cluster as a learner\n")
	})
	if _, err := client.MemberRemove(ctx, added.Member.ID); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "and leaves",
		func() bool { return strings.Contains(what(), id+" was removed from the cluster\n") })
	status := p.call("PUT", "api/key", map[string]any{"key": b64Std("timeline/k"), "value": b64Std("v"), "mod": 0}, nil)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	if text := what(); !strings.HasSuffix(text, "timeline/k\n") || !strings.Contains(text, "\nchange ") {
		t.Errorf("%s", text)
	}
}
