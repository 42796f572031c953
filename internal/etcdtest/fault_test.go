package etcdtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests use the JSON gateway on the client port, since this package imports no etcd client.

func httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func put(ctx context.Context, client *http.Client, url, key, value string) error {
	body, err := json.Marshal(map[string][]byte{"key": []byte(key), "value": []byte(value)})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v3/kv/put", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return err
}

// eventually repeats f until it succeeds, each time with a second's limit.
func eventually(t *testing.T, f func(context.Context) error) {
	t.Helper()
	err := poll(within(t, readyTimeout), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return f(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func wantPut(t *testing.T, m *Member) {
	t.Helper()
	eventually(t, func(ctx context.Context) error { return put(ctx, httpClient(), m.URL, "k", "v") })
}

func wantNoPut(t *testing.T, m *Member) {
	t.Helper()
	if err := put(within(t, time.Second), httpClient(), m.URL, "k", "v"); err == nil {
		t.Fatalf("a put through %s went through", m.Name)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	c := Start(t, Options{Members: 3})
	leader := c.Leader(t)
	if err := leader.Freeze(); err != nil {
		t.Fatal(err)
	}
	if leader.Running() {
		t.Fatal("a frozen member counts as running")
	}
	wantNoPut(t, leader)
	next := c.Leader(t)
	if next == leader {
		t.Fatal("the frozen member still leads")
	}
	wantPut(t, next)
	if err := leader.Thaw(); err != nil {
		t.Fatal(err)
	}
	wantPut(t, leader)
	if c.Leader(t) == leader {
		t.Fatal("the thawed member leads again though nobody elected it")
	}
}

func TestKillAndRestart(t *testing.T) {
	c := Start(t, Options{Members: 3})
	victim := c.Followers(t)[0]
	pid := victim.PID()
	victim.Kill()
	if syscall.Kill(pid, 0) == nil {
		t.Fatalf("process %d is still there", pid)
	}
	if err := put(within(t, time.Second), httpClient(), victim.URL, "k", "v"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("put to a killed member: %v, want connection refused", err)
	}
	if victim.Freeze() == nil {
		t.Fatal("a dead process was frozen")
	}
	wantPut(t, c.Leader(t))
	if err := victim.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := victim.WaitReady(within(t, readyTimeout)); err != nil {
		t.Fatal(err)
	}
	wantPut(t, victim)

	// A frozen member is restarted, and then ended in an orderly way.
	victim.Freeze()
	if err := victim.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := victim.WaitReady(within(t, readyTimeout)); err != nil {
		t.Fatal(err)
	}
	victim.Terminate()
	if victim.Running() {
		t.Fatal("still running after Terminate")
	}
	if err := victim.WaitReady(within(t, readyTimeout)); err == nil {
		t.Fatal("an ended member is ready")
	}
}

func TestPartitionFromPeers(t *testing.T) {
	c := Start(t, Options{Members: 3, PeerProxied: true})
	leader := c.Leader(t)
	if err := leader.PartitionFromPeers(); err != nil {
		t.Fatal(err)
	}
	// The other members elect a leader. The member that is cut off serves nothing, though its
	// process answers.
	eventually(t, func(ctx context.Context) error {
		next, err := c.FindLeader(ctx)
		if err == nil && next == leader {
			err = errors.New("the member cut off still leads")
		}
		return err
	})
	wantNoPut(t, leader)
	for _, m := range c.Followers(t) {
		if m != leader {
			wantPut(t, m)
		}
	}
	if err := leader.HealPeers(); err != nil {
		t.Fatal(err)
	}
	wantPut(t, leader)
}

func TestPartitionNeedsProxies(t *testing.T) {
	m := Shared(t).Members()[0]
	if m.PartitionFromPeers() == nil || m.HealPeers() == nil || m.PeerLink(m) != nil {
		t.Fatal("a cluster without peer proxies can be partitioned")
	}
}

func TestProxied(t *testing.T) {
	c := Start(t, Options{Proxied: true})
	m := c.Members()[0]
	if m.Endpoint == m.Direct || m.Endpoint != m.Proxy().Addr() {
		t.Fatalf("endpoint %s, direct %s, proxy %s", m.Endpoint, m.Direct, m.Proxy().Addr())
	}
	wantPut(t, m)
	m.Proxy().BlackHole()
	wantNoPut(t, m)
	m.Proxy().Heal()
	wantPut(t, m)
}

// Stop leaves no process, no file, no listener, whatever state the members are in.
func TestStopLeavesNothing(t *testing.T) {
	before := map[string]bool{} // goroutines that stay, such as the shared cluster's
	for _, g := range goroutines() {
		before[g.id] = true
	}
	c, err := StartMain(Options{Members: 3, Proxied: true, PeerProxied: true, Unix: true})
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, m := range c.Members() {
		pids = append(pids, m.PID())
	}
	c.Members()[0].Freeze()
	c.Members()[1].Kill()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d is still there", pid)
		}
	}
	if _, err := os.Stat(c.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory %s is still there: %v", c.dir, err)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	// Some have said that they are done, and have not ended yet.
	left := func(context.Context) error {
		for _, g := range goroutines() {
			if !before[g.id] && strings.Contains(g.stack, "/internal/") {
				return fmt.Errorf("goroutine left:\n%s", g.stack)
			}
		}
		return nil
	}
	if err := poll(within(t, leakGrace), left); err != nil {
		t.Error(err)
	}
}

func TestStartFailsWithTheServersWords(t *testing.T) {
	_, err := StartMain(Options{Args: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Fatalf("error %v, want one that quotes the server", err)
	}
	if _, err := StartMain(Options{Version: "9.9"}); err == nil {
		t.Fatal("version 9.9 started")
	}
}
