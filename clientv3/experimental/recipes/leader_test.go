package recipe_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	recipe "github.com/fairlead-go/fairlead/clientv3/experimental/recipes"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// event is one call of a candidate's functions.
type event struct {
	who, what string
	cause     error
	fence     int64
}

// candidate runs RunLeader in the background; stop ends it.
func candidate(
	t *testing.T,
	c *clientv3.Client,
	name, prefix string,
	events chan event,
	change func(*recipe.LeaderConfig),
) (stop context.CancelFunc, done <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	cfg := recipe.LeaderConfig{
		Client: c, Prefix: prefix, Identity: name, TTL: 5,
		Run: func(ctx context.Context, e *concurrency.Election) error {
			events <- event{who: name, what: "runs", fence: e.Fence()}
			<-ctx.Done()
			return ctx.Err()
		},
		OnStopped: func(cause error) { events <- event{who: name, what: "stopped", cause: cause} },
	}
	if change != nil {
		change(&cfg)
	}
	return cancel, async(func() error { return recipe.RunLeader(ctx, cfg) })
}

func TestRunLeader(t *testing.T) {
	c := shared(t)
	events := make(chan event, 100)
	leaders := make(chan string, 100)
	expect := func(who, what string) event {
		t.Helper()
		e := clienttest.Receive(t, who+" "+what, events)
		if e.who != who || e.what != what {
			t.Fatalf("%+v, want %s %s", e, who, what)
		}
		return e
	}
	stopA, doneA := candidate(t, c, "a", t.Name(), events, func(cfg *recipe.LeaderConfig) {
		cfg.OnLeader = func(who string) { leaders <- who }
	})
	first := expect("a", "runs")
	if who := clienttest.Receive(t, "the leader", leaders); who != "a" {
		t.Errorf("leader %q", who)
	}
	_, doneB := candidate(t, c, "b", t.Name(), events, nil)
	clienttest.Await(t, "b is a candidate", func() bool { return count(t, c, t.Name()) == 2 })
	// When a's context ends, it resigns at once.
	began := time.Now()
	stopA()
	if e := expect("a", "stopped"); e.cause != context.Canceled {
		t.Errorf("cause: %v", e.cause)
	}
	second := expect("b", "runs")
	if took := time.Since(began); took > 4*time.Second { // below the TTL
		t.Errorf("handed over after %v", took)
	}
	if second.fence <= first.fence {
		t.Errorf("fence %d after %d", second.fence, first.fence)
	}
	if err := clienttest.Receive(t, "RunLeader", doneA); err != context.Canceled {
		t.Errorf("%v", err)
	}
	// Another client deletes b's key: b notices, and campaigns again.
	if _, err := c.Delete(clienttest.Within(t, clienttest.Long), t.Name(), clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if e := expect("b", "stopped"); e.cause != concurrency.ErrOwnershipLost &&
		e.cause != concurrency.ErrSessionExpired {
		t.Errorf("cause: %v", e.cause)
	}
	if third := expect("b", "runs"); third.fence <= second.fence {
		t.Errorf("fence %d after %d", third.fence, second.fence)
	}
	quiet(t, "RunLeader went on", doneB)
}

// When Run returns by itself, RunLeader resigns and returns.
func TestRunLeaderReturns(t *testing.T) {
	c := shared(t)
	for _, want := range []error{nil, errors.New("mine")} {
		events := make(chan event, 10)
		_, done := candidate(t, c, "a", t.Name(), events, func(cfg *recipe.LeaderConfig) {
			cfg.Run = func(context.Context, *concurrency.Election) error { return want }
		})
		if err := clienttest.Receive(t, "RunLeader", done); err != want {
			t.Errorf("%v, want %v", err, want)
		}
		if e := clienttest.Receive(t, "OnStopped", events); e.cause != nil {
			t.Errorf("cause: %v", e.cause)
		}
		if n := count(t, c, t.Name()); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	}
}

// A candidate that is not healthy does not lead.
func TestRunLeaderHealth(t *testing.T) {
	c := shared(t)
	events := make(chan event, 100)
	sick := errors.New("sick")
	var ill atomic.Bool
	ill.Store(true)
	var asked atomic.Int32
	_, _ = candidate(t, c, "a", t.Name(), events, func(cfg *recipe.LeaderConfig) {
		cfg.HealthEvery = 20 * time.Millisecond
		cfg.Healthy = func(context.Context) error {
			asked.Add(1)
			if ill.Load() {
				return sick
			}
			return nil
		}
	})
	clienttest.Await(t, "its health was asked for", func() bool { return asked.Load() >= 2 })
	quiet(t, "a sick candidate leads", events)
	ill.Store(false)
	if e := clienttest.Receive(t, "it leads", events); e.what != "runs" {
		t.Fatalf("%+v", e)
	}
	ill.Store(true)
	if e := clienttest.Receive(t, "it stops", events); e.what != "stopped" || e.cause != sick {
		t.Fatalf("%+v", e)
	}
}

func TestRunLeaderConfig(t *testing.T) {
	c := shared(t)
	run := func(context.Context, *concurrency.Election) error { return nil }
	for what, cfg := range map[string]recipe.LeaderConfig{
		"no client": {Prefix: "p", Run: run}, "no function": {Client: c, Prefix: "p"},
		"no prefix":      {Client: c, Run: run},
		"a negative TTL": {Client: c, Prefix: "p", Run: run, TTL: -1},
	} {
		if err := recipe.RunLeader(clienttest.Within(t, clienttest.Long), cfg); err == nil ||
			errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		} else {
			t.Log(fmt.Sprint(what, ": ", err))
		}
	}
}
