package discovery_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// use reads all changes, by Next or by View, until it is stopped.
func use(t *testing.T, s *discovery.Subscription, next bool) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if next {
				_, _ = s.Next(ctx)
				continue
			}
			s.View()
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); <-done }
}

// etcd is wiped, and its new revisions are low. Followers have seen higher ones, but those do not
// count: a drain still waits until the followers have seen it.
func TestDrainAfterAWipe(t *testing.T) {
	for name, next := range map[string]bool{"Next": true, "View": false} {
		t.Run(name, func(t *testing.T) {
			cluster := etcdtest.Start(t, etcdtest.Options{})
			c := clienttest.Dial(t, cluster.Endpoints()...)
			s := subscribe(t, directory(t, c, discovery.WithAnnounce("me"), discovery.WithReturnHold(0)))
			for i := range 100 { // so that the revision is high
				_, err := c.Put(within(t), fmt.Sprint("x", i), "")
				ok(t, "Put", err)
			}
			r := registrar(t, c)
			drained := func(id string) {
				t.Helper()
				g := register(t, r, orders(t, id))
				stop := use(t, s, next)
				defer stop()
				ok(t, "Drain", g.Drain(within(t), clienttest.Long))
			}
			drained("before")
			g := register(t, r, orders(t, "a"))
			stop := use(t, s, next)
			clienttest.PutBack(t, cluster, "")
			clienttest.Await(t, "the new history", func() bool {
				st := s.Status()
				return st.Revision < 100 && st.Revision > 0 && !st.Stale && value(t, c, g.Key()) != ""
			})
			clienttest.Await(t, "the announcement", func() bool {
				v := value(t, c, "/fairlead/watchers/"+url.PathEscape(t.Name())+"/me")
				return len(v) == 1 // of a low revision, or none
			})
			stop()
			const limit = 2 * time.Second
			began := time.Now()
			ok(t, "Drain", g.Drain(within(t), limit))
			if took := time.Since(began); took < limit {
				t.Errorf("a follower that has not looked was waited for only for %v", took)
			}
			drained("after")
		})
	}
}

// A service that is followed again at once is announced again, although the earlier announcement
// may still be on its way out.
func TestAnnouncedAgain(t *testing.T) {
	c := clienttest.Shared(t)
	d := directory(t, c, discovery.WithAnnounce("me"))
	s := subscribe(t, d)
	next(t, s)
	announced := func() {
		t.Helper()
		clienttest.Await(t, "the announcement", func() bool {
			return value(t, c, "/fairlead/watchers/"+t.Name()+"/me") != ""
		})
	}
	announced()
	for range 20 {
		s.Close()
		s = subscribe(t, d)
		next(t, s)
	}
	g := register(t, registrar(t, c), orders(t, "a"))
	announced()
	const limit = 300 * time.Millisecond
	began := time.Now()
	ok(t, "Drain", g.Drain(within(t), limit))
	if took := time.Since(began); took < limit {
		t.Errorf("a follower that has not looked was waited for only for %v", took)
	}
}

// A drain that changes nothing that followers are shown ends at once, since they have seen it: an
// operator has drained the instance before, or an earlier drain was given up.
func TestDrainOfADrained(t *testing.T) {
	c := clienttest.Shared(t)
	r, s := registrar(t, c), subscribe(t, directory(t, c, discovery.WithAnnounce("me")))
	defer use(t, s, true)()
	clienttest.Await(t, "the announcement", func() bool {
		return value(t, c, "/fairlead/watchers/"+t.Name()+"/me") != ""
	})
	for what, before := range map[string]func(g *discovery.Registration) error{
		"by an operator": func(*discovery.Registration) error {
			return discovery.Drain(within(t), c, base(t), t.Name(), "a")
		},
		"by itself": func(g *discovery.Registration) error {
			return g.Update(within(t), func(in *discovery.Instance) { in.State = discovery.Draining })
		},
	} {
		g := register(t, r, orders(t, "a"))
		ok(t, what, before(g))
		clienttest.Await(t, what, func() bool { v := s.View(); return v != nil && v.Draining() == 1 })
		began := time.Now()
		ok(t, "Drain", g.Drain(within(t), clienttest.Long))
		if took := time.Since(began); took > clienttest.Long/2 {
			t.Errorf("drained %s before, it took %v", what, took)
		}
		ok(t, "Undrain", discovery.ChangeControl(within(t), c, t.Name(), func(ctl *discovery.Control) error {
			ctl.Override("a", nil)
			return nil
		}))
	}
}
