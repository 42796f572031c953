package concurrency

// The attendant of a key deletes the key if it must go, looks out for keys that come late, and
// watches held keys. It ends when it has nothing of this to do, or with the session's life.

import (
	"cmp"
	"context"
	"errors"
	"time"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// errWatchEnded is why an attendant pauses before it looks again.
var errWatchEnded = errors.New("concurrency: the watch of a key ended")

func (sl *slot) attend(ctx context.Context) {
	ripe := time.NewTimer(guardAfter)
	defer ripe.Stop()
	for failures := 0; ; {
		st, changed := sl.plan()
		var err error
		switch st.do {
		case idle:
			return
		case wait:
			err = sl.s.await(ctx, changed)
		case ripen:
			select {
			case <-ripe.C:
				sl.input((*core).ripe)
				ripe.Reset(guardAfter)
			case <-changed:
			case <-ctx.Done():
			}
		case look:
			err = sl.look(ctx, st.asked)
		case remove:
			if err = sl.remove(ctx, st.rev, removeTry<<min(failures, removeTryDoubles)); err == nil {
				failures = 0
			}
		case watch:
			var some bool
			if some, err = sl.watch(ctx, st); some {
				failures = 0
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if backoff.Sleep(ctx, waitAfter(err).Wait(failures)) != nil {
				return
			}
			failures++
		}
	}
}

// plan returns what to do now, and a channel that is closed at the next input. If there is
// nothing to do, the attendant must end: the next one may have been started.
func (sl *slot) plan() (step, <-chan struct{}) {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	st := sl.core.next()
	if st.do == idle {
		sl.attended = false
		sl.follow()
		return st, nil
	}
	return st, sl.change()
}

func (sl *slot) peek() (step, <-chan struct{}) {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	return sl.core.next(), sl.change()
}

func (sl *slot) input(input func(*core)) { sl.s.input(sl.key, input) }

// look reads the whole key: servers from 3.7 on leave the lease out of answers with keys only.
func (sl *slot) look(ctx context.Context, asked int) error {
	ctx, cancel := context.WithTimeout(ctx, attendTry)
	defer cancel()
	found := v3.NewListing(0)
	r, err := sl.s.client.Get(ctx, sl.key)
	if err != nil {
		return err
	}
	var rev, lease int64
	if len(r.Kvs) > 0 {
		rev, lease = r.Kvs[0].CreateRevision, r.Kvs[0].Lease
	}
	found.Add(r)
	sl.s.mu.Lock()
	sl.found = found
	sl.s.mu.Unlock()
	sl.input(func(k *core) { k.looked(asked, r.Header.Revision, rev, sl.s.owns(lease)) })
	return nil
}

func (sl *slot) remove(ctx context.Context, rev int64, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := sl.s.remove(ctx, sl.key, rev)
	if err != nil {
		sl.input((*core).removeFailed)
	}
	return err
}

// watch follows the key until something else is to be done, or the watch ends. It reports
// whether something came.
func (sl *slot) watch(ctx context.Context, st step) (some bool, err error) {
	opts := []v3.OpOption{v3.WithRev(st.rev)}
	sl.s.mu.Lock()
	if l := sl.found; l != nil && l.Revision()+1 == st.rev {
		opts[0] = v3.WithListing(l)
	}
	sl.s.mu.Unlock()
	if !st.puts {
		opts = append(opts, v3.WithFilterPut())
	}
	w := follow.Open(ctx, sl.s.client, sl.key, opts...)
	defer w.Close()
	var events v3.WatchChan
	for {
		now, changed := sl.peek()
		if now.do != watch || now.puts != st.puts {
			return some, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return some, ctx.Err()
		case events = <-w.Opened:
		case r, ok := <-events:
			if ctx.Err() != nil {
				return some, ctx.Err()
			}
			for _, ev := range r.Events {
				some = true
				if at := ev.Kv.ModRevision; ev.Type == v3.EventTypeDelete {
					sl.input(func(k *core) { k.deleted(at) })
				} else {
					sl.input(func(k *core) { k.put(at, ev.Kv.CreateRevision, sl.s.owns(ev.Kv.Lease)) })
				}
			}
			if !ok || r.Err() != nil {
				sl.s.watchFailed(r.Err())
				sl.input((*core).watchEnded)
				return some, cmp.Or(r.Err(), errWatchEnded)
			}
		}
	}
}

// owns reports that a key with that lease is the session's.
func (s *Session) owns(lease int64) bool { return v3.LeaseID(lease) == s.id }
