package worker

import (
	"context"
	"sync/atomic"
	"testing"
)

func TestStopWaitsForAll(t *testing.T) {
	g := New(context.Background())
	var ended atomic.Int32
	for range 10 {
		if !g.Go(func(ctx context.Context) { <-ctx.Done(); ended.Add(1) }) {
			t.Fatal("Go refused before Stop")
		}
	}
	g.Stop()
	if n := ended.Load(); n != 10 {
		t.Fatalf("%d of 10 functions ended before Stop returned", n)
	}
	if g.Go(func(context.Context) { t.Error("started after Stop") }) {
		t.Fatal("Go accepted after Stop")
	}
	g.Stop() // a second time is allowed
}

func TestParentEndsGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	g := New(ctx)
	done := make(chan struct{})
	g.Go(func(ctx context.Context) { <-ctx.Done(); close(done) })
	cancel()
	<-done
	g.Stop()
}

func ExampleGroup() {
	g := New(context.Background())
	g.Go(func(ctx context.Context) {
		<-ctx.Done() // a real loop works until its context ends
	})
	g.Stop()
	// Output:
}
