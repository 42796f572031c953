package gokit

import (
	"fmt"
	"slices"
	"testing"

	"github.com/go-kit/kit/sd"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// events returns the events of an instancer; the channel is read until the test ends.
func events(t testing.TB, i sd.Instancer) <-chan sd.Event {
	t.Helper()
	received, all, done := make(chan sd.Event), make(chan sd.Event, 100), make(chan struct{})
	go func() {
		for {
			select {
			case e := <-received:
				all <- e
			case <-done:
				return
			}
		}
	}()
	i.Register(received)
	t.Cleanup(func() { i.Deregister(received); close(done) })
	return all
}

// TestRecordsOfEachOther: both packages write the same, and each sees what the other does.
func TestRecordsOfEachOther(t *testing.T) {
	endpoints := etcdtest.Start(t, etcdtest.Options{}).Endpoints() // no TestMain: go-kit's clients leave goroutines
	raw := clienttest.Dial(t, endpoints...)
	prefix := t.Name() + "/"
	for writer, reader := range []int{ourKind, theirKind} {
		name := kinds[writer].name + " writes"
		seen := events(t, follow(t, connect(t, reader, endpoints), prefix))
		see := func(want ...string) {
			t.Helper()
			for {
				e := clienttest.Receive(t, fmt.Sprint(name, ": instances ", want), seen)
				if e.Err == nil && slices.Equal(sorted(e.Instances), want) {
					return
				}
			}
		}
		c, asks := connect(t, writer, endpoints), connect(t, reader, endpoints)
		ok(t, name, c.register(prefix+"1", "http://1"))
		see("http://1")
		got, err := raw.Get(clienttest.Within(t, clienttest.Long), prefix+"1")
		ok(t, "Get", err)
		if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "http://1" || got.Kvs[0].Lease == 0 {
			t.Errorf("%s: stored: %v", name, got.Kvs)
		}
		list, err := asks.entries(prefix)
		if err != nil || !slices.Equal(list, []string{"http://1"}) {
			t.Errorf("%s: the other reads %v, %v", name, list, err)
		}
		// A second process joins, with the other package.
		ok(t, name, asks.register(prefix+"2", "http://2"))
		see("http://1", "http://2")
		ok(t, name, c.deregister(prefix+"1", "http://1"))
		see("http://2")
		ok(t, name, asks.deregister(prefix+"2", "http://2"))
		see()
	}
}
