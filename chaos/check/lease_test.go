package check

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// leaseStory is a key that is written at revision 2, and deleted at revision 3 at 10 s.
func leaseStory() *history.Truth {
	return &history.Truth{First: 2, Last: 3, Events: []history.Event{
		{Key: "k", Value: "v", Rev: 2, Seen: time.Second},
		{Key: "k", Delete: true, Rev: 3, Seen: 10 * time.Second},
	}}
}

func probes(member int, from, to, every time.Duration) (list []history.Probe) {
	for at := from; at < to; at += every {
		list = append(list, history.Probe{Member: member, Call: at, Return: at + ms, OK: true})
	}
	return list
}

func TestLeaseSafety(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		told, released time.Duration
		late           history.Lateness
		words          []string
	}{
		"told before":     {told: 9 * s},
		"told just then":  {told: 10*s + 5*ms},
		"told late":       {told: 10*s + 20*ms, words: []string{"20ms later"}},
		"told late by us": {told: 10*s + 50*ms, late: history.Lateness{{At: 10*s + 45*ms, By: 45 * ms}}},
		"late at another time": {told: 10*s + 50*ms, late: history.Lateness{
			{At: 9 * s, By: 45 * ms}, {At: 11 * s, By: 45 * ms},
		}, words: []string{"50ms later"}},
		"never told":        {words: []string{"never noticed"}},
		"given up before":   {released: 9 * s},
		"given up too late": {released: 11 * s, words: []string{"never noticed"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := history.Lease{Key: "k", TTL: 5 * s, PutRev: 2, Noticed: c.told, Released: c.released}
			_, v := Leases([]history.Lease{l}, leaseStory(), nil, nil, nil, c.late)
			expect(t, v, c.words...)
		})
	}
	kept := leaseStory()
	kept.Events = kept.Events[:1]
	r, v := Leases([]history.Lease{{Key: "k", TTL: 5 * s, PutRev: 2}}, kept, nil, nil, nil, nil)
	expect(t, v)
	if r.Expired != 0 {
		t.Errorf("%+v", r)
	}
}

// A loss is an offence if a member was well all the time, unless this process was so late itself
// that its renewals were.
func TestLeaseLostBesideAMember(t *testing.T) {
	const s = time.Second
	kept := leaseStory()
	kept.Events = kept.Events[:1]
	offence := []string{"untouched and answered"}
	for name, c := range map[string]struct {
		late  history.Lateness
		words []string
	}{
		"in time":         {words: offence},
		"a little late":   {late: history.Lateness{{At: 7 * s, By: s}}, words: offence},
		"late":            {late: history.Lateness{{At: 7 * s, By: s + 300*ms}}},
		"late before":     {late: history.Lateness{{At: 4 * s, By: 2 * s}}, words: offence},
		"late afterwards": {late: history.Lateness{{At: 11 * s, By: 500 * ms}}, words: offence},
	} {
		t.Run(name, func(t *testing.T) {
			l := history.Lease{Key: "k", TTL: 5 * s, PutRev: 2, Granted: s, LastAck: 5 * s, Noticed: 10 * s}
			_, v := Leases([]history.Lease{l}, kept, probes(0, s, 12*s, 100*ms), nil, nil, c.late)
			expect(t, v, c.words...)
		})
	}
}

// A leader that was frozen revokes a lease that its successor has renewed. That is not the
// client's fault, unless the cluster had been left alone or the renewal was long ago.
func TestLeaseEndedEarly(t *testing.T) {
	const s = time.Second
	thawed := []history.Touch{{Member: 0, What: "freeze", From: 5 * s, To: 10*s - 50*ms}}
	for name, c := range map[string]struct {
		ack     time.Duration
		touches []history.Touch
		words   []string
	}{
		"after a thaw":   {ack: 9 * s, touches: thawed},
		"old renewal":    {ack: 7 * s, touches: thawed, words: []string{"later"}},
		"renewed later":  {ack: 10*s + 100*ms, touches: thawed, words: []string{"later"}},
		"nothing was on": {ack: 9 * s, touches: []history.Touch{{From: s, To: 2 * s}}, words: []string{"later"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := history.Lease{Key: "k", TTL: 5 * s, PutRev: 2, LastAck: c.ack, Noticed: 10*s + 300*ms}
			r, v := Leases([]history.Lease{l}, leaseStory(), nil, c.touches, nil, nil)
			expect(t, v, c.words...)
			if r.Early != 1-min(1, len(c.words)) {
				t.Errorf("%+v", r)
			}
		})
	}
	// A lease whose key was not written: only the server's answer shows that it ended.
	steady := probes(1, 0, 30*s, 200*ms)
	for said, words := range map[bool][]string{true: nil, false: {"untouched"}} {
		l := history.Lease{Key: "k", TTL: 5 * s, LastAck: 9 * s, Noticed: 10 * s, Ended: said}
		_, v := Leases([]history.Lease{l}, leaseStory(), steady, thawed, nil, nil)
		expect(t, v, words...)
	}
}

func TestLeaseLiveness(t *testing.T) {
	const s = time.Second
	l := history.Lease{Key: "x", TTL: 4 * s, Granted: s, Noticed: 20 * s}
	steady := probes(1, 0, 30*s, 200*ms)
	gone := func(from, to time.Duration) (list []history.Probe) {
		for _, p := range steady {
			p.OK = p.Call < from || p.Call >= to
			list = append(list, p)
		}
		return list
	}
	for name, c := range map[string]struct {
		probes  []history.Probe
		touches []history.Touch
		words   []string
	}{
		"a member answered": {probes: steady, words: []string{"reported lost", "m1"}},
		"nobody answered":   {},
		"it was touched":    {probes: steady, touches: []history.Touch{{Member: 1, From: 17 * s, To: 18 * s}}},
		"it was touched before": {
			probes: steady, touches: []history.Touch{{Member: 1, From: 10 * s, To: 15 * s}}, words: []string{"m1"},
		},
		"another was touched": {
			probes: steady, touches: []history.Touch{{Member: 0, From: 0, To: 30 * s}}, words: []string{"m1"},
		},
		"an election":            {probes: gone(17*s, 18500*ms), words: []string{"m1"}},
		"no leader for long":     {probes: gone(17*s, 19500*ms)},
		"no leader at the end":   {probes: gone(17500*ms, 30*s)},
		"no leader at the start": {probes: gone(0, 18500*ms)},
	} {
		t.Run(name, func(t *testing.T) {
			r, v := Leases([]history.Lease{l}, &history.Truth{}, c.probes, c.touches, nil, nil)
			expect(t, v, c.words...)
			if r.Lost != 1 || r.Excused != 1-min(1, len(c.words)) {
				t.Errorf("%+v", r)
			}
		})
	}
	released := l
	released.Released = 19 * s
	r, v := Leases([]history.Lease{released}, &history.Truth{}, steady, nil, nil, nil)
	expect(t, v)
	if r.Lost != 0 {
		t.Error("a lease that its holder gave up counts as lost")
	}
}

func TestDeadlines(t *testing.T) {
	call := func(over time.Duration) history.Op {
		return history.Op{ID: 1, Keys: []string{"k"}, Deadline: time.Second, Return: time.Second + over}
	}
	r, v := Deadlines(
		[]history.Op{
			call(-ms),
			call(50 * ms),
			call(150 * ms),
			call(300 * ms),
			{Keys: []string{"k"}, Return: time.Hour},
		},
		history.Lateness{{At: time.Second + 200*ms, By: 180 * ms}},
	)
	expect(t, v)
	if r.Worst != 300*ms || r.Over != 2 || r.Ours != 1 {
		t.Errorf("%+v", r)
	}
	_, v = Deadlines([]history.Op{call(3 * time.Second)}, nil)
	expect(t, v, "3s beyond")
}

func TestLeaks(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	go func() { <-stop }()
	expect(t, Leaks(0)) // this module's own do not count
	const ours = "goroutine 7 " +
		"[select]:\ngithub.com/fairlead-go/fairlead/internal/worker.loop(0x1)\n\t/x/worker.go:1\ncreated by " +
		"github.com/fairlead-go/fairlead/internal/worker.Go in goroutine 1\n"
	const started = "goroutine 8 [select]:\nruntime.park()\ncreated by github.com/fairlead-go/fairlead/clientv3.New " +
		"in goroutine 1\n"
	const rpc = "goroutine 9 [select]:\ngoogle.golang.org/grpc/internal/transport.(*http2Client).reader()\n"
	const proxy = "goroutine 10 " +
		"[select]:\ngithub.com/fairlead-go/fairlead/internal/faultnet.(*Proxy).serve()\ncreated by " +
		"github.com/fairlead-go/fairlead/internal/faultnet.New in goroutine 1\n"
	if got := leaked([]string{ours, started, rpc, proxy}); len(got) != 3 ||
		strings.Contains(strings.Join(got, ""), "faultnet") {
		t.Errorf("%q", got)
	}
}
