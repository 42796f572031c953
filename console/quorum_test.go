package console_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// follow carries out a plan and passes on each line of progress when it comes. The last one has the
// reason of a refusal, if there was one.
func (p *page) follow(pl plan, on func(progress)) (last progress) {
	p.t.Helper()
	resp := p.request(clienttest.Within(p.t, clienttest.Long), "POST", "api/operations/run", pl.Operation)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e failure
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Error == "" {
			p.t.Fatalf("%s: status %d, %+v, %v", pl.Title, resp.StatusCode, e, err)
		}
		return progress{Error: e.Error}
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		last = progress{}
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			p.t.Fatalf("%q: %v", lines.Text(), err)
		}
		on(last)
	}
	if err := lines.Err(); err != nil || !last.End {
		p.t.Fatalf("it has no end: %+v, %v", last, err)
	}
	return last
}

// away is a way for members to fail and come back.
type away struct {
	name      string
	go_, come func(*etcdtest.Member) error
}

var ways = []away{
	{"frozen", (*etcdtest.Member).Freeze, (*etcdtest.Member).Thaw},
	{"killed", func(m *etcdtest.Member) error { m.Kill(); return nil }, (*etcdtest.Member).Restart},
}

// interrupted is an operation that is interrupted.
type interrupted struct {
	action string
	quota  bool // the database is full
	// prepare sets the operation's target; later is the reason why it cannot be planned again once
	// it is done.
	prepare func(t *testing.T, c *etcdtest.Cluster, client *clientv3.Client, op map[string]any)
	later   string
}

var operations = []interrupted{
	{action: "compact"},
	{action: "defragment", // with enough data to take a while
		prepare: func(t *testing.T, c *etcdtest.Cluster, client *clientv3.Client, op map[string]any) {
			for i := range 60 {
				put(t, client, fmt.Sprint("large/", i), strings.Repeat("v", 1_000_000))
			}
		}},
	{action: "disarm", quota: true, later: "there is no alarm",
		prepare: func(t *testing.T, c *etcdtest.Cluster, client *clientv3.Client, op map[string]any) {
			fill(t, client)
		}},
	{action: "move-leader", later: "is the leader",
		prepare: func(t *testing.T, c *etcdtest.Cluster, client *clientv3.Client, op map[string]any) {
			op["member"] = memberID(t, c.Followers(t)[0])
		}},
	{action: "member-add", later: "already",
		prepare: func(t *testing.T, c *etcdtest.Cluster, client *clientv3.Client, op map[string]any) {
			settle(t, client)
			op["urls"], op["learner"] = []string{"http://127.0.0.1:1"}, true
		}},
	{action: "member-promote", later: "votes already",
		prepare: func(t *testing.T, c *etcdtest.Cluster, client *clientv3.Client, op map[string]any) {
			op["member"] = learner(t, c, client)
		}},
	{action: "member-remove", later: "there is no member",
		prepare: func(t *testing.T, c *etcdtest.Cluster, client *clientv3.Client, op map[string]any) {
			settle(t, client)
			op["member"] = memberID(t, c.Followers(t)[0])
		}},
}

// fill writes until the database is full.
func fill(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx := clienttest.Within(t, clienttest.Long)
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		_, err = client.Put(ctx, fmt.Sprint("fill/", i), strings.Repeat("x", 100_000))
	}
	if err == nil {
		t.Fatal("the database is not full")
	}
}

// settle waits until etcd accepts changes of members: it does once all have been connected for 5 s.
func settle(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx := clienttest.Within(t, clienttest.Long)
	clienttest.Await(t, "etcd changes members", func() bool {
		added, err := client.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:2"})
		if err != nil {
			return false
		}
		_, err = client.MemberRemove(ctx, added.Member.ID)
		return err == nil
	})
}

// learner adds a learner and returns its id when it has all data.
func learner(t *testing.T, c *etcdtest.Cluster, client *clientv3.Client) string {
	t.Helper()
	m, err := c.Join()
	if err != nil {
		t.Fatal(err)
	}
	var added *clientv3.MemberAddResponse
	clienttest.Await(t, "etcd takes a learner", func() bool { // it does once all members have been connected for 5 s
		added, err = client.MemberAddAsLearner(clienttest.Within(t, clienttest.Long), []string{m.PeerURL})
		return err == nil
	})
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", added.Member.ID)
}

// TestTheQuorumIsLostInTheMiddle of each operation: two of three members freeze, or are killed,
// when it has begun. It ends within a limit, gives the reason, claims nothing that was not done,
// and can be started again once the members are back.
func TestTheQuorumIsLostInTheMiddle(t *testing.T) {
	for _, in := range operations {
		for _, way := range ways {
			t.Run(in.action+"/"+way.name, func(t *testing.T) {
				t.Parallel() // they mostly wait
				in.test(t, way)
			})
		}
	}
}

func (in *interrupted) test(t *testing.T, way away) {
	o := etcdtest.Options{Members: 3}
	if in.quota {
		o.Args = []string{"--quota-backend-bytes=2000000"}
	}
	cluster := etcdtest.Start(t, o)
	client := clienttest.Dial(t, cluster.Endpoints()...)
	var log recorder
	p := serve(t, client, console.WithToken(secret), console.WithAudit(log.record))
	p.signIn()
	put(t, client, "k", "1")
	op := map[string]any{"action": in.action}
	others := cluster.Followers(t) // before there is a fourth member
	if in.prepare != nil {
		in.prepare(t, cluster, client, op)
	}
	gone, done := false, 0
	leave := func() {
		gone = true
		for _, m := range others {
			if err := way.go_(m); err != nil {
				t.Error(err)
			}
		}
	}
	if in.action != "defragment" { // between the last read of the state and the first step
		log.seen = func(ch console.Change) {
			if ch.Outcome == console.Asked && !gone {
				leave()
			}
		}
	}
	var (
		pl    plan
		last  progress
		begin time.Time
	)
	clienttest.Await(t, "the cluster is as it was shown", func() bool { // alarms come one after the other
		pl, begin = p.plan(op), time.Now()
		last = p.follow(pl, func(one progress) {
			if one.State == "done" {
				done++
			}
			if one.State == "running" && !gone { // during the first of several steps
				leave()
			}
		})
		return last.End
	})
	t.Logf("after %v: %s", time.Since(begin).Round(time.Millisecond), last.Error)
	if last.Error == "" || done == len(pl.Steps) {
		t.Errorf("%d of %d steps were done, and it ended with %+v", done, len(pl.Steps), last)
	}
	all := log.take()
	if n := len(all); n == 0 || all[n-1].Outcome == console.Done || all[n-1].Error == "" {
		t.Fatalf("%+v", all)
	}
	for _, m := range others {
		if err := way.come(m); err != nil {
			t.Fatal(err)
		}
	}
	clienttest.Await(t, "the cluster is back", func() bool {
		_, err := client.Get(clienttest.Within(t, clienttest.Long), "k")
		return err == nil
	})
	if in.action == "compact" {
		put(t, client, "k", "2") // the same revision can be compacted only once
	}
	in.again(p, op, &log, all[len(all)-1].Outcome)
}

// TestADefragmentedMemberElsewhereFreezes: the console has no endpoint that leads to the member.
// The client watches over it all the same, as long as the request lasts.
func TestADefragmentedMemberElsewhereFreezes(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	followers := cluster.Followers(t)
	far := followers[1]
	client := clienttest.Dial(t, followers[0].Endpoint)
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	for i := range 60 { // enough to take a while
		put(t, client, fmt.Sprint("large/", i), strings.Repeat("v", 1_000_000))
	}
	op := map[string]any{"action": "defragment"}
	var frozen, done bool
	var last progress
	for range 3 { // on a busy machine it may be done before the member freezes
		pl := p.plan(op)
		at := slices.IndexFunc(pl.Steps, func(step string) bool { return strings.Contains(step, far.Name) })
		if at < 0 {
			t.Fatalf("%s is not in %q", far.Name, pl.Steps)
		}
		frozen, done = false, false
		last = p.follow(pl, func(one progress) {
			if one.State == "running" && one.Step == at && !frozen {
				frozen = true
				if err := far.Freeze(); err != nil {
					t.Error(err)
				}
			}
			done = done || one.State == "done" && one.Step == at
		})
		if !done {
			break
		}
		if err := far.Thaw(); err != nil {
			t.Fatal(err)
		}
		clienttest.Await(t, "the member is back", func() bool { return p.refusedFor(op) == "" })
	}
	if last.Error == "" || !frozen || done {
		t.Errorf("frozen %v, done %v, in the end %+v", frozen, done, last)
	}
	t.Log(last.Error)
}

// again starts the operation once more, when the members are back.
func (in *interrupted) again(p *page, op map[string]any, log *recorder, before console.Outcome) {
	clienttest.Await(p.t, "it can be done, or was done late", func() bool {
		why := p.refusedFor(op)
		if in.later != "" && strings.Contains(why, in.later) {
			if before != console.Unknown {
				p.t.Errorf("it was done, and was recorded as %s", before)
			}
			return true
		}
		var pl plan
		if why != "" || p.call("POST", "api/operations/plan", op, &pl) != http.StatusOK {
			return false
		}
		if p.follow(pl, func(progress) {}).Error == "" {
			return true
		}
		// The member that is removed may be the one that would answer.
		if all := log.take(); len(all) > 0 && all[len(all)-1].Outcome == console.Unknown {
			before = console.Unknown
		}
		return false
	})
}

// TestASnapshotWhileMembersAreAway is complete if the member that sends it is running, and breaks
// off if that freezes.
func TestASnapshotWhileMembersAreAway(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	leader := cluster.Leader(t)
	client := clienttest.Dial(t, leader.Endpoint)
	for i := range 60 {
		put(t, client, fmt.Sprint("large/", i), strings.Repeat("v", 1_000_000))
	}
	var log recorder
	p := serve(t, client, console.WithToken(secret), console.WithAudit(log.record))
	p.signIn()
	// download reads a snapshot, and calls f when a part of it has come.
	download := func(f func()) (whole bool, err error) {
		var got struct{ Ticket string }
		p.call("POST", "api/snapshot", map[string]any{}, &got)
		resp := p.request(clienttest.Within(t, clienttest.Long), "GET", "api/snapshot?ticket="+got.Ticket, nil)
		defer resp.Body.Close()
		data := make([]byte, 1<<20)
		if _, err := io.ReadFull(resp.Body, data); err != nil {
			t.Fatal(err)
		}
		f()
		rest, err := io.ReadAll(resp.Body)
		data = append(data, rest...)
		n := len(data) - sha256.Size
		return sha256.Sum256(data[:n]) == [sha256.Size]byte(data[n:]), err
	}
	each := func(members []*etcdtest.Member, f func(*etcdtest.Member) error) {
		t.Helper()
		for _, m := range members {
			if err := f(m); err != nil {
				t.Error(err)
			}
		}
	}
	others := cluster.Followers(t)
	if whole, err := download(func() { each(others, (*etcdtest.Member).Freeze) }); !whole || err != nil {
		t.Errorf("without a quorum: whole %v, %v", whole, err)
	}
	each(others, (*etcdtest.Member).Thaw)
	log.take()
	begin := time.Now()
	whole, err := download(func() { each(cluster.Members(), (*etcdtest.Member).Freeze) })
	t.Logf("it ended after %v: %v", time.Since(begin).Round(time.Millisecond), err)
	each(cluster.Members(), (*etcdtest.Member).Thaw)
	if whole || err == nil {
		t.Errorf("of a frozen member: whole %v, %v", whole, err)
	}
	clienttest.Await(t, "it is recorded as failed", func() bool {
		log.mu.Lock()
		defer log.mu.Unlock()
		return len(log.all) == 2 && log.all[1].Outcome == console.Failed &&
			strings.Contains(log.all[1].Error, "has sent nothing for 15s")
	})
	clienttest.Await(t, "the cluster is back", func() bool {
		_, err := client.Get(clienttest.Within(t, clienttest.Long), "k")
		return err == nil
	})
	if whole, err := download(func() {}); !whole || err != nil {
		t.Errorf("afterwards: whole %v, %v", whole, err)
	}
}
