package console_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

type plan struct {
	Operation                map[string]any
	Title                    string
	Effects, Warnings, Steps []string
}

type progress struct {
	Step               int
	State, Note, Error string
	End                bool
}

func (p *page) plan(op map[string]any) (pl plan) {
	p.t.Helper()
	if status := p.call("POST", "api/operations/plan", op, &pl); status != http.StatusOK {
		p.t.Fatalf("plan of %v: status %d", op, status)
	}
	if pl.Title == "" || len(pl.Effects) == 0 || len(pl.Steps) == 0 {
		p.t.Fatalf("%v: %+v", op, pl)
	}
	return pl
}

// run carries out a plan and returns its progress, without lines that have nothing new.
func (p *page) run(pl plan) (all []progress) {
	p.t.Helper()
	resp := p.request(clienttest.Within(p.t, clienttest.Long), "POST", "api/operations/run", pl.Operation)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		p.t.Fatalf("%s: status %d, %s", pl.Title, resp.StatusCode, text)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var one progress
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			p.t.Fatalf("%q: %v", lines.Text(), err)
		}
		if one.State != "" || one.End {
			all = append(all, one)
		}
	}
	if n := len(all); n == 0 || !all[n-1].End {
		p.t.Fatalf("it has no end: %+v", all)
	}
	return all
}

// done expects all steps to be done, and returns their notes.
func (p *page) done(op map[string]any) (notes []string) {
	p.t.Helper()
	pl := p.plan(op)
	all := p.run(pl)
	for _, one := range all {
		if one.State == "failed" || one.Error != "" {
			p.t.Fatalf("%s: %+v", pl.Title, all)
		}
		if one.State == "done" {
			notes = append(notes, one.Note)
		}
	}
	if len(notes) != len(pl.Steps) {
		p.t.Fatalf("%s: %d of %d steps: %+v", pl.Title, len(notes), len(pl.Steps), all)
	}
	return notes
}

func memberID(t *testing.T, m *etcdtest.Member) string {
	t.Helper()
	id, err := m.ID(clienttest.Within(t, clienttest.Long))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", id)
}

func TestOperations(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	var log recorder
	p := serve(t, client, console.WithToken(secret), console.WithAudit(log.record))
	p.signIn()

	old := put(t, client, "k", "1")
	now := put(t, client, "k", "2")
	p.refused(
		"POST",
		"api/operations/plan",
		map[string]any{"action": "compact", "revision": now + 100},
		http.StatusBadRequest,
		"bad_request",
	)
	p.done(map[string]any{"action": "compact", "revision": now})
	if _, err := client.Get(t.Context(), "k", clientv3.WithRev(old)); err == nil {
		t.Error("the old revision is there")
	}
	if all := log.take(); len(all) != 2 || all[1].Action != "compact" || all[1].Outcome != console.Done {
		t.Errorf("%+v", all)
	}

	leader := memberID(t, cluster.Leader(t))
	pl := p.plan(map[string]any{"action": "defragment"})
	if len(pl.Steps) != 3 || !strings.Contains(pl.Steps[2], leader+"), the leader") {
		t.Errorf("the leader is not last: %q", pl.Steps)
	}
	for _, note := range p.done(map[string]any{"action": "defragment"}) {
		if !strings.HasPrefix(note, "from ") {
			t.Errorf("%q", note)
		}
	}

	p.refused("POST", "api/operations/plan", map[string]any{"action": "disarm"}, http.StatusConflict, "refused")
	p.refused(
		"POST",
		"api/operations/plan",
		map[string]any{"action": "move-leader", "member": leader},
		http.StatusConflict,
		"refused",
	)
	p.refused(
		"POST",
		"api/operations/plan",
		map[string]any{"action": "move-leader", "member": "<b>"},
		http.StatusNotFound,
		"NotFound",
	)
	p.refused("POST", "api/operations/plan", map[string]any{"action": "drop-all"}, http.StatusBadRequest, "bad_request")

	// Two operators: the second one's plan does not hold any more, or is what the first has done
	// already.
	heirs := cluster.Followers(t)
	first := p.plan(map[string]any{"action": "move-leader", "member": memberID(t, heirs[0])})
	second := p.plan(map[string]any{"action": "move-leader", "member": memberID(t, heirs[1])})
	p.run(first)
	log.take()
	p.refused("POST", "api/operations/run", second.Operation, http.StatusConflict, "conflict")
	p.refused("POST", "api/operations/run", first.Operation, http.StatusConflict, "refused")
	delete(second.Operation, "seen")
	p.refused("POST", "api/operations/run", second.Operation, http.StatusConflict, "conflict")
	if all := log.take(); len(all) > 0 {
		t.Errorf("recorded what was not done: %+v", all)
	}
	if id := memberID(t, cluster.Leader(t)); id != memberID(t, heirs[0]) {
		t.Errorf("%s leads", id)
	}

	for _, bad := range []string{
		"", "10.0.0.1:2380", "http://10.0.0.1", "ftp://a:1", "http://a:1/x", "\u202e", "javascript:alert(1)",
	} {
		p.refused(
			"POST",
			"api/operations/plan",
			map[string]any{"action": "member-add", "urls": []string{bad}},
			http.StatusBadRequest,
			"bad_request",
		)
	}
	// etcd changes members only once all have been connected for 5 s; its refusal is passed on
	// unchanged.
	clienttest.Await(t, "etcd takes a member", func() bool {
		all := p.run(
			p.plan(map[string]any{"action": "member-add", "urls": []string{"http://127.0.0.1:1"}, "learner": true}),
		)
		if all[1].State == "failed" {
			if all[1].Note != "etcdserver: unhealthy cluster" || all[2].Error != all[1].Note {
				t.Fatalf("%+v", all)
			}
			return false
		}
		if !strings.Contains(all[1].Note, "NAME=http://127.0.0.1:1") {
			t.Fatalf("%+v", all)
		}
		return true
	})
	list, err := client.MemberList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	learner := ""
	for _, m := range list.Members {
		if m.IsLearner {
			learner = fmt.Sprintf("%x", m.ID)
		}
	}
	p.refused(
		"POST",
		"api/operations/plan",
		map[string]any{"action": "member-promote", "member": learner},
		http.StatusConflict,
		"refused",
	) // it has not started
	p.refused("POST", "api/operations/plan", map[string]any{"action": "defragment"}, http.StatusConflict, "refused")
	p.done(map[string]any{"action": "member-remove", "member": learner})

	// One member is away: operations that would cost the quorum are refused, those that help are
	// not.
	gone := cluster.Followers(t)[0]
	goneID, otherID := memberID(t, gone), memberID(t, cluster.Followers(t)[1])
	gone.Kill()
	p.refused("POST", "api/operations/plan", map[string]any{"action": "defragment"}, http.StatusConflict, "refused")
	p.refused(
		"POST",
		"api/operations/plan",
		map[string]any{"action": "member-remove", "member": otherID},
		http.StatusConflict,
		"refused",
	)
	p.refused(
		"POST",
		"api/operations/plan",
		map[string]any{"action": "member-add", "urls": []string{"http://127.0.0.1:1"}},
		http.StatusConflict,
		"refused",
	)
	p.done(map[string]any{"action": "member-remove", "member": goneID})
}

// TestAnAlarmIsDisarmed: a real one, from a full database.
func TestAnAlarmIsDisarmed(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Args: []string{"--quota-backend-bytes=2000000"}})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	ctx := clienttest.Within(t, clienttest.Long)
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		_, err = client.Put(ctx, fmt.Sprint("fill/", i), strings.Repeat("x", 100_000))
	}
	if err == nil {
		t.Fatal("the database is not full")
	}
	pl := p.plan(map[string]any{"action": "disarm"})
	if len(pl.Steps) != 1 || !strings.HasPrefix(pl.Steps[0], "NOSPACE") || len(pl.Warnings) != 1 {
		t.Fatalf("%+v", pl)
	}
	if _, err := client.Delete(ctx, "fill/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	p.done(map[string]any{"action": "compact"})
	p.done(map[string]any{"action": "defragment"})
	p.done(map[string]any{"action": "disarm"})
	put(t, client, "k", "v")
}

// TestAPlanHoldsWhileDataIsWritten, although the sizes that it shows have changed.
func TestAPlanHoldsWhileDataIsWritten(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	pl := p.plan(map[string]any{"action": "defragment"})
	put(t, client, "k", strings.Repeat("x", 1_000_000))
	clienttest.Await(t, "other sizes", func() bool {
		return p.plan(map[string]any{"action": "defragment"}).Steps[0] != pl.Steps[0]
	})
	if all := p.run(pl); all[len(all)-1].Error != "" {
		t.Errorf("%+v", all)
	}
}

// TestAClusterThatFailsInTheMiddle of an operation: the operation stops and gives the reason, and
// its outcome is recorded.
func TestAClusterThatFailsInTheMiddle(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	var log recorder
	p := serve(t, client, console.WithToken(secret), console.WithAudit(log.record))
	p.signIn()
	meanwhile := func(f func()) { // between the last read of the state and the first step
		log.mu.Lock()
		defer log.mu.Unlock()
		log.seen = func(ch console.Change) {
			if ch.Outcome == console.Asked {
				f()
			}
		}
	}
	last := func(all []progress) progress { return all[len(all)-1] }

	// The page is closed.
	host := strings.TrimPrefix(p.url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	meanwhile(func() { conn.Close() })
	text, err := json.Marshal(p.plan(map[string]any{"action": "defragment"}).Operation)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST /api/operations/run HTTP/1.1\r\nHost: %s\r\nContent-Type: "+
		"application/json\r\nFairlead-Session: %s\r\nCookie: %s=%s\r\nContent-Length: %d\r\n\r\n%s",
		host, p.secret, p.cookie.Name, p.cookie.Value, len(text), text); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "its end", func() bool {
		log.mu.Lock()
		defer log.mu.Unlock()
		return len(log.all) == 2
	})
	if all := log.take(); all[1].Outcome != console.Failed || !strings.Contains(all[1].Error, "the page was closed") {
		t.Errorf("%+v", all)
	}

	// A member fails: the others are not defragmented.
	followers := cluster.Followers(t)
	gone, heir := followers[0], followers[1]
	heirID := memberID(t, heir)
	meanwhile(gone.Kill)
	all := p.run(p.plan(map[string]any{"action": "defragment"}))
	if len(all) != 1 || !strings.Contains(all[0].Error, "it stops here, since a member does not answer: "+gone.Name) {
		t.Errorf("%+v", all)
	}
	if all := log.take(); len(all) != 2 || all[1].Outcome != console.Failed {
		t.Errorf("%+v", all)
	}

	// The quorum is lost.
	meanwhile(heir.Kill)
	all = p.run(p.plan(map[string]any{"action": "move-leader", "member": heirID}))
	if last(all).Error == "" {
		t.Errorf("%+v", all)
	}
	if all := log.take(); len(all) != 2 || all[1].Outcome == console.Done {
		t.Errorf("%+v", all)
	}
	meanwhile(func() {})
	if e := p.refusedFor(map[string]any{"action": "compact"}); e == "" {
		t.Error("without a quorum a plan is made")
	}
}

// refusedFor returns the reason why there is no plan.
func (p *page) refusedFor(op map[string]any) string {
	p.t.Helper()
	var e failure
	if status := p.call("POST", "api/operations/plan", op, &e); status == http.StatusOK {
		return ""
	}
	return e.Error
}

func TestOperationsAreRefusedInReadOnlyMode(t *testing.T) {
	p, _ := open(t, console.WithReadOnly())
	for _, path := range []string{"operations/plan", "operations/run", "snapshot"} {
		p.refused("POST", "api/"+path, map[string]any{"action": "compact"}, http.StatusForbidden, "read_only")
	}
}

func TestOperationsNeedASession(t *testing.T) {
	p := serve(t, clienttest.Shared(t), console.WithToken(secret))
	for _, path := range []string{"operations/plan", "operations/run", "snapshot"} {
		p.refused("POST", "api/"+path, map[string]any{}, http.StatusUnauthorized, "sign_in")
	}
	p.refused("GET", "api/snapshot?ticket=guessed", nil, http.StatusForbidden, "ticket")
}

// TestASnapshotByATicket: it is valid once, with its session's cookie and without the secret.
func TestASnapshotByATicket(t *testing.T) {
	var log recorder
	p, client := open(t, console.WithAudit(log.record))
	put(t, client, t.Name(), strings.Repeat("v", 100_000))
	var got struct{ Ticket string }
	ticket := func() string {
		t.Helper()
		if status := p.call("POST", "api/snapshot", map[string]any{}, &got); status != http.StatusOK ||
			len(got.Ticket) < 32 {
			t.Fatalf("status %d, %+v", status, got)
		}
		return "api/snapshot?ticket=" + got.Ticket
	}
	first := ticket()
	p.secret = "" // a browser's download does not send it
	resp := p.request(clienttest.Within(t, clienttest.Long), "GET", first, nil)
	data, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK ||
		!strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment; ") {
		t.Fatalf("status %d, %v, %v", resp.StatusCode, resp.Header, err)
	}
	n := len(data) - sha256.Size
	if n < 100_000 || sha256.Sum256(data[:n]) != [sha256.Size]byte(data[n:]) {
		t.Fatalf("%d bytes with a wrong digest", len(data))
	}
	if all := log.take(); len(all) != 2 || all[1].Action != "snapshot" || all[1].Outcome != console.Done {
		t.Errorf("%+v", all)
	}
	p.refused("GET", first, nil, http.StatusForbidden, "ticket")

	p.signIn()
	own := p.cookie
	stolen := ticket()
	p.signIn() // another session
	p.refused("GET", stolen, nil, http.StatusForbidden, "ticket")
	p.cookie = own
	p.refused("GET", stolen, nil, http.StatusForbidden, "ticket") // it was used already
	p.cookie = nil
	p.refused("GET", stolen, nil, http.StatusForbidden, "ticket")
}

// TestASnapshotThatBreaks: the download fails, instead of leaving a shorter file.
func TestASnapshotThatBreaks(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	for i := range 60 {
		put(t, client, fmt.Sprint("large/", i), strings.Repeat("v", 1_000_000))
	}
	var log recorder
	p := serve(t, client, console.WithToken(secret), console.WithAudit(log.record))
	p.signIn()
	var got struct{ Ticket string }
	p.call("POST", "api/snapshot", map[string]any{}, &got)
	resp := p.request(clienttest.Within(t, clienttest.Long), "GET", "api/snapshot?ticket="+got.Ticket, nil)
	defer resp.Body.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	cluster.Members()[0].Kill()
	if n, err := io.Copy(f, resp.Body); err == nil {
		t.Fatalf("it ends like a whole one after %d bytes more", n)
	}
	clienttest.Await(t, "it is recorded as failed", func() bool {
		log.mu.Lock()
		defer log.mu.Unlock()
		return len(log.all) == 2 && log.all[1].Outcome != console.Done && log.all[1].Error != ""
	})
}
