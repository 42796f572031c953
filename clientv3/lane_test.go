package clientv3_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestSnapshotOverASlowLink: a backup takes seconds, with calls and a watch beside it. It is not
// aborted as long as bytes come, even if its member is cut off from its peers or leaves the
// endpoints. It does not delay the calls.
func TestSnapshotOverASlowLink(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true, PeerProxied: true})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	value := strings.Repeat("x", 1<<20)
	for i := range 24 {
		if _, err := c.Put(ctxFor(t, long), fmt.Sprint("big/", i), value); err != nil {
			t.Fatal(err)
		}
	}
	const rate = 6 << 20
	for _, m := range cl.Members() {
		m.Proxy().Throttle(rate)
	}
	served := cl.Followers(t)[0]
	only := dial(t, clientv3.Config{Endpoints: []string{served.Endpoint}}) // so that this member serves
	steps := []struct {
		name   string
		during func()
	}{
		{"calls beside it", func() {}},
		{"it leaves the endpoints", func() {
			var rest []string
			for _, m := range cl.Members() {
				if m != served {
					rest = append(rest, m.Endpoint)
				}
			}
			only.SetEndpoints(rest...)
		}},
		{"it is cut off from its peers", func() {
			if err := served.PartitionFromPeers(); err != nil {
				t.Error(err)
			}
		}},
	}
	for _, s := range steps {
		only.SetEndpoints(served.Endpoint)
		ctx, cancel := context.WithCancel(ctxFor(t, 2*long))
		r, err := only.Snapshot(ctx)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		var wg sync.WaitGroup
		var slowest time.Duration
		wg.Go(func() { // on the connection beside it
			for n := 0; ctx.Err() == nil; n++ {
				gctx, done := context.WithTimeout(ctx, patience)
				began := time.Now()
				_, err := only.Get(gctx, "small", clientv3.WithSerializable())
				done()
				if ctx.Err() == nil && err != nil {
					t.Errorf("%s: a get beside it: %v", s.name, err)
				}
				if ctx.Err() == nil {
					slowest = max(slowest, time.Since(began))
				}
				_, _ = only.Put(ctxFor(t, time.Second), "small", "v") // cannot succeed while it is cut off
			}
		})
		struck := false
		var got int64
		began := time.Now()
		buf := make([]byte, 1<<20)
		for {
			n, err := r.Read(buf)
			got += int64(n)
			if !struck && got > 4<<20 {
				struck = true
				s.during()
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: after %v and %d bytes: %v", s.name, time.Since(began), got, err)
			}
		}
		cancel()
		wg.Wait()
		r.Close()
		t.Logf("%s: %d bytes in %v; slowest get %v", s.name, got, time.Since(began), slowest)
		if got < 24<<20 {
			t.Errorf("%s: only %d bytes", s.name, got)
		}
	}
}

// TestListingBesideCalls: much data is read over a slow link, as a stream and, from servers
// that cannot stream, in pages. It has a connection of its own, so gets and watches beside
// it do not wait in its queue.
func TestListingBesideCalls(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.6", "3.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			cl := etcdtest.Start(t, etcdtest.Options{Proxied: true, Version: version})
			c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
			const keys, size, rate = 80, 256 << 10, 6 << 20 // 3.3 s
			value := strings.Repeat("x", size)
			for i := range keys {
				if _, err := c.Put(ctxFor(t, long), fmt.Sprintf("big/%03d", i), value); err != nil {
					t.Fatal(err)
				}
			}
			watch := c.Watch(ctxFor(t, 2*long), "small")
			round := func() time.Duration { // a put, its event and a get
				began := time.Now()
				if _, err := c.Put(ctxFor(t, long), "small", "v"); err != nil {
					t.Fatal(err)
				}
				next(t, watch)
				if _, err := c.Get(ctxFor(t, long), "small"); err != nil {
					t.Fatal(err)
				}
				return time.Since(began)
			}
			usual := 20 * time.Millisecond // on a busy machine it may be far more
			for range 20 {
				usual = max(usual, round())
			}
			cl.Members()[0].Proxy().Throttle(rate)
			over := make(chan error, 1)
			go func() {
				n := 0
				for _, err := range c.Range(ctxFor(t, 2*long), "big/") {
					if err != nil {
						over <- err
						return
					}
					n++
				}
				if n != keys {
					over <- fmt.Errorf("%d keys instead of %d", n, keys)
				}
				close(over)
			}()
			var took []time.Duration
			for listing := true; listing; {
				d := round()
				select {
				case err := <-over:
					if err != nil {
						t.Fatal(err)
					}
					listing = false
				default:
					took = append(took, d)
				}
			}
			var all, slow time.Duration
			for _, d := range took {
				if all += d; d > 10*usual {
					slow += d
				}
			}
			t.Logf("%d rounds in %v beside the listing, slowest %v; waiting %v", len(took), all, slices.Max(took), slow)
			// In the listing's queue each would wait for a part of a second.
			if len(took) == 0 || slow > all/2 {
				t.Errorf("%v of %v was waiting", slow, all)
			}
		})
	}
}
