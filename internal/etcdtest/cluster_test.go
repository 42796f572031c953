package etcdtest

import (
	"context"
	"testing"
	"time"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestOneMember(t *testing.T) {
	start := time.Now()
	c := Start(t, Options{})
	t.Logf("ready after %v", time.Since(start))
	if got := len(c.Endpoints()); got != 1 {
		t.Fatalf("%d endpoints", got)
	}
	if c.Leader(t) != c.Members()[0] {
		t.Fatal("the only member does not lead")
	}
}

func TestThreeMembers(t *testing.T) {
	start := time.Now()
	c := Start(t, Options{Members: 3})
	t.Logf("ready after %v", time.Since(start))
	if got := len(c.Followers(t)); got != 2 {
		t.Fatalf("%d followers", got)
	}
}
