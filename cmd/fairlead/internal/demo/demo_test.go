package demo

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// A demonstration that could not fail would show nothing: it must check all that it claims.

func event(key string, version, revision int64) *clientv3.Event {
	return &clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), Version: version, ModRevision: revision}}
}

func TestWatchCheck(t *testing.T) {
	end := event("end", 1, 100)
	for name, c := range map[string]struct {
		events []*clientv3.Event
		fails  string
	}{
		"in order":    {[]*clientv3.Event{event("a", 1, 5), event("b", 1, 6), event("a", 2, 7), end}, ""},
		"lost":        {[]*clientv3.Event{event("a", 1, 5), event("a", 3, 8), end}, "version 3 of a after version 1"},
		"twice":       {[]*clientv3.Event{event("a", 1, 5), event("a", 1, 5), end}, "went back"},
		"disordered":  {[]*clientv3.Event{event("a", 1, 5), event("b", 1, 4), end}, "went back"},
		"ended early": {[]*clientv3.Event{event("a", 1, 5)}, "ended early"},
	} {
		events := make(chan clientv3.WatchResponse, len(c.events))
		for _, e := range c.events {
			events <- clientv3.WatchResponse{Events: []*clientv3.Event{e}}
		}
		close(events)
		w := &watching{end: "end"}
		err := w.follow(events)
		if c.fails == "" && (err != nil || w.result.seen != 3) {
			t.Errorf("%s: %v after %d events", name, err, w.result.seen)
		}
		if c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		}
	}
}

func TestReportFails(t *testing.T) {
	good := report{
		calls: callStats{
			done: 10,
			puts: 5,
			gets: 5,
		}, watch: watchResult{seen: 5, expected: 5}, lease: leaseResult{renewals: 3},
	}
	for name, c := range map[string]struct {
		spoil func(*report)
		says  string
	}{
		"good":       {func(*report) {}, ""},
		"failures":   {func(r *report) { r.calls.failed, r.calls.firstFailure = 1, errors.New("boom") }, "boom"},
		"events":     {func(r *report) { r.watch.seen = 4 }, "saw 4 of 5"},
		"lost lease": {func(r *report) { r.lease.lost = true }, "lease was lost"},
		"unrenewed":  {func(r *report) { r.lease.renewals = 0 }, "lease was lost"},
	} {
		r := good
		c.spoil(&r)
		var out strings.Builder
		err := r.write(newSpeaker(&out))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(out.String(), "watch events") {
			t.Errorf("%s: no table:\n%s", name, out.String())
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Microsecond: "1.2 ms", 45 * time.Millisecond: "45 ms", 2340 * time.Millisecond: "2.3 s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %s, want %s", d, got, want)
		}
	}
}
