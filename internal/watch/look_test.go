package watch

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// looker is a watch of one key behind a proxy.
type looker struct {
	t    *testing.T
	core *core
	now  time.Time
	st   *stream
	look *action // the last one that is not answered
}

func newLooker(t *testing.T) *looker {
	l := &looker{t: t, core: newCore(1<<20, nil, true, func() float64 { return 0 }), now: time.Unix(1e9, 0)}
	l.core.add(l.now, "", newWatcher(Request{Create: &pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 5}}))
	l.run()
	return l
}

// run carries out what the core asks for: streams open at once, and are confirmed and proved.
func (l *looker) run() {
	for i := 0; i < len(l.core.acts); i++ {
		switch a := l.core.acts[i]; a.kind {
		case actOpen:
			l.st, l.look = a.st, nil
			l.core.opened(l.now, a.st, "proxy", time.Time{})
		case actSend:
			if a.req.GetCreateRequest() != nil {
				l.core.response(l.now, a.st, l.said(&pb.WatchResponse{Created: true}), nil, Retry)
			}
		case actConfirm:
			if a.look {
				l.look = &a
			} else {
				l.core.checked(l.now, a.g, Finding{Revision: 100, ClusterID: 7}, nil, Retry)
			}
		}
	}
	l.core.acts = l.core.acts[:0]
}

func (l *looker) said(resp *pb.WatchResponse) *pb.WatchResponse {
	resp.Header = &pb.ResponseHeader{ClusterId: 7, Revision: 100}
	return resp
}

func (l *looker) event(rev int64, value string) {
	resp := &pb.WatchResponse{Events: []*mvccpb.Event{event(mvccpb.PUT, "k", rev, value)}}
	l.core.response(l.now, l.st, l.said(resp), nil, Retry)
	l.run()
}

// next waits for the next look, and answers it.
func (l *looker) next(changed bool) Check {
	l.now = l.now.Add(lookEvery)
	l.core.tick(l.now, l.st.g)
	l.run()
	a := l.look
	if a == nil {
		l.t.Fatal("no look is asked for")
	}
	l.look = nil
	l.core.looked(l.now, a.st, a.round, Finding{Revision: 100, ClusterID: 7, Changed: changed}, nil, Retry)
	l.run()
	return a.check
}

// missing counts the looks that show a change until the stream is given up, and waits for the next.
func (l *looker) missing() int {
	g := l.st.g
	for n := 1; n < 1000; n++ {
		l.next(true)
		if g.st != nil {
			continue
		}
		left := l.now
		for g.st == nil {
			l.now = g.armed
			l.core.tick(l.now, g)
			l.run()
		}
		// Another client at that proxy has found the same up to lookEvery earlier or later.
		if away := l.now.Sub(left); away <= lookEvery {
			l.t.Errorf("the next stream began after %v", away)
		}
		return n
	}
	return 1000
}

// TestMoreTimeForStreamsAfterDeafOnes: a response may take longer than two looks, the first one
// after an outage above all. To give up the stream each time would mean that it never arrives.
func TestMoreTimeForStreamsAfterDeafOnes(t *testing.T) {
	l := newLooker(t)
	l.event(9, "v")
	l.next(false)
	for i, want := range []int{2, 33, 65, 129, 257, 257} {
		if got := l.missing(); got != want {
			t.Errorf("stream %d was given up after %d looks, want %d", i+1, got, want)
		}
	}
	for range 20 {
		l.next(true)
	}
	l.event(10, "v")
	l.next(false) // it asks for the event of the look before
	if got := l.missing(); got != 2 {
		t.Errorf("after an event the stream was given up after %d looks, want 2", got)
	}
	// Another fault ends a stream that has missed changes: the next one begins anew.
	l.event(11, "v")
	l.next(false)
	l.next(true)
	l.core.broken(l.now, l.st, errProtocol, Retry)
	l.run()
	if got := l.missing(); got != 17 {
		t.Errorf("a new stream was given up after %d looks, want 17", got)
	}
}

// TestLooksReadLargeValuesRarely: what looks cost does not depend on how large values are.
func TestLooksReadLargeValuesRarely(t *testing.T) {
	for _, k := range []struct{ size, whole int }{{10, 60}, {16 << 10, 60}, {160 << 10, 6}, {1 << 20, 1}} {
		l := newLooker(t)
		l.event(9, string(make([]byte, k.size)))
		whole := 0
		for range 60 {
			q := l.next(false)
			if len(q.Changes) != 1 || !q.Changes[0].SameAs(event(mvccpb.PUT, "k", 9, string(make([]byte, k.size))).Kv) {
				t.Fatalf("a look asks for %+v", q)
			}
			if !q.KeysOnly {
				whole++
			}
		}
		if whole != k.whole {
			t.Errorf("a value of %d bytes was read in %d of 60 looks, want %d", k.size, whole, k.whole)
		}
	}
}
