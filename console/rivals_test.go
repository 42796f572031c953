package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

const rivals = 6

// attempt sends a request that may be refused.
func (p *page) attempt(method, path string, body any, e *failure) int {
	p.t.Helper()
	resp := p.request(clienttest.Within(p.t, clienttest.Long), method, path, body)
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		if err := json.NewDecoder(resp.Body).Decode(e); err != nil {
			p.t.Error(err)
		}
	}
	return resp.StatusCode
}

// race sends requests at the same time and expects one of them to succeed. It returns which one
// that is, and the refusals of the others.
func (p *page) race(send func(i int, e *failure) (status int)) (winner int, lost []failure) {
	p.t.Helper()
	var wg sync.WaitGroup
	status, all := make([]int, rivals), make([]failure, rivals)
	for i := range rivals {
		wg.Go(func() { status[i] = send(i, &all[i]) })
	}
	wg.Wait()
	winner = -1
	for i, s := range status {
		switch {
		case s < 300 && winner >= 0:
			p.t.Fatalf("both %d and %d overwrote what was shown", winner, i)
		case s < 300:
			winner = i
		case s == http.StatusConflict && all[i].Code == "conflict":
			lost = append(lost, all[i])
		default:
			p.t.Errorf("%d: status %d, %+v", i, s, all[i])
		}
	}
	if winner < 0 {
		p.t.Fatalf("nobody got through: %v", all)
	}
	return winner, lost
}

// TestOperatorsAtTheSameTime on one key, one split and one instance: one succeeds; the others
// overwrite nothing, and get the present state and who changed it.
func TestOperatorsAtTheSameTime(t *testing.T) {
	p, client := open(t)
	seen := put(t, client, t.Name(), "as it was shown")
	winner, lost := p.race(func(i int, e *failure) int {
		body := map[string]any{"key": b64Std(t.Name()), "value": b64Std(fmt.Sprint("of ", i)), "mod": seen}
		return p.attempt("PUT", "api/key", body, e)
	})
	want := fmt.Sprint("of ", winner)
	if v := value(t, client, t.Name()); v != want {
		t.Errorf("the key is %q, and %q got through", v, want)
	}
	for _, e := range lost {
		var now struct{ Value []byte }
		if err := json.Unmarshal(e.Detail, &now); err != nil || string(now.Value) != want {
			t.Errorf("what is there now: %q, %v", now.Value, err)
		}
	}
	// A later request gets the name of that user.
	body := map[string]any{"key": b64Std(t.Name()), "value": b64Std("late"), "mod": seen}
	e := p.refused("PUT", "api/key", body, http.StatusConflict, "conflict")
	if !strings.HasPrefix(e.By, "put by somebody without a name from 127.0.0.1:") || !strings.Contains(e.Error, e.By) {
		t.Errorf("%+v", e)
	}

	base, name := withOrders(t, client)
	for what, change := range map[string]func(i int) map[string]any{
		"split": func(i int) map[string]any {
			return map[string]any{"split": []string{fmt.Sprintf("v1=%d", 50+i), fmt.Sprintf("v2=%d", 50-i)}}
		},
		"instance": func(i int) map[string]any { return map[string]any{"id": "a", "weight": 30 + i} },
	} {
		of := func(i int) map[string]any {
			in := change(i)
			in["base"], in["service"] = base, name
			return in
		}
		shown := p.prospect(of(0)).Seen
		winner, lost := p.race(func(i int, e *failure) int {
			in := of(i)
			in["seen"] = shown
			return p.attempt("POST", "api/services/control", in, e)
		})
		now := p.prospect(of(winner)).Seen
		for _, e := range lost {
			var detail string
			if err := json.Unmarshal(e.Detail, &detail); err != nil || detail != now {
				t.Errorf("%s: %+v, want %s; %v", what, e, now, err)
			}
		}
		late := of(1)
		late["seen"] = shown
		if e := p.refused("POST", "api/services/control", late, http.StatusConflict, "conflict"); e.By == "" {
			t.Errorf("%s: %+v", what, e)
		}
	}
}

// TestOperatorsOnOneMember: of several that remove the same member one succeeds; the others get the
// reason, and who did it.
func TestOperatorsOnOneMember(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	settle(t, client)
	pl := p.plan(map[string]any{"action": "member-remove", "member": memberID(t, cluster.Followers(t)[0])})
	var wg sync.WaitGroup
	ends := make([]progress, rivals)
	for i := range rivals {
		wg.Go(func() { ends[i] = p.follow(pl, func(progress) {}) })
	}
	wg.Wait()
	done := 0
	for _, e := range ends {
		switch {
		case e.End && e.Error == "":
			done++
		case !strings.Contains(e.Error, "is under way") && !strings.Contains(e.Error, "Latest operation here"):
			t.Errorf("%+v", e)
		}
	}
	late := p.follow(pl, func(progress) {})
	const who = "Latest operation here: member-remove by somebody without a name from 127.0.0.1:"
	if !strings.Contains(late.Error, "there is no member") || !strings.Contains(late.Error, who) {
		t.Errorf("%+v", late)
	}
	if done != 1 {
		t.Errorf("%d removed it", done)
	}
	all, err := client.MemberList(clienttest.Within(t, clienttest.Long))
	if err != nil || len(all.Members) != 2 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestARemovalWhoseAnswerIsLost: a member that is removed stops, and may not answer any more. The
// cluster is asked whether it was done.
func TestARemovalWhoseAnswerIsLost(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	var direct []string
	for _, m := range cluster.Members() {
		direct = append(direct, m.Direct)
	}
	other := clienttest.Dial(t, direct...)
	var log recorder
	p := serve(t, client, console.WithToken(secret), console.WithAudit(log.record))
	p.signIn()
	settle(t, client)
	ctx := clienttest.Within(t, clienttest.Long)
	added, err := other.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	log.seen = func(ch console.Change) {
		if ch.Outcome != console.Asked {
			return
		}
		for _, m := range cluster.Members() { // between the last read of the state and the request
			m.Proxy().BlackHole(faultnet.ToClient)
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				if r, err := other.MemberList(ctx); err == nil && len(r.Members) == 3 {
					break
				}
			}
			for _, m := range cluster.Members() {
				m.Proxy().Reset()
				if err := m.Proxy().Heal(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	pl := p.plan(map[string]any{"action": "member-remove", "member": fmt.Sprintf("%x", added.Member.ID)})
	if last := p.follow(pl, func(progress) {}); last.Error != "" {
		t.Errorf("%+v", last)
	}
}
